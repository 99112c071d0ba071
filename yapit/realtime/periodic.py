"""Periodic work for open connections: resync, renewal of slots, checks of access and credit."""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Protocol

from django.conf import settings

from yapit import limits
from yapit.realtime.access_checks import AccessChecks
from yapit.realtime.background import run_all
from yapit.realtime.connections import Resyncable, SlotHolder
from yapit.realtime.credit_checks import CreditChecks

CHECKED_EARLY = 0.8  # of IDENTITY_SECONDS: checks begin only with a resync, and take time themselves


class Resynced(Resyncable, SlotHolder, Protocol):
    pass


class PeriodicWork:
    def __init__(self, connections: Collection[Resynced], access: AccessChecks, credit: CreditChecks) -> None:
        self._connections = connections
        self._access = access
        self._credit = credit

    async def run(self) -> None:
        renewal = Interval(lambda: limits.RENEW_SLOT_SECONDS)
        checks = Interval(lambda: settings.IDENTITY_SECONDS * CHECKED_EARLY)
        while True:
            await asyncio.sleep(settings.RESYNC_SECONDS)
            await self.resync()
            if renewal.is_due():
                await run_all(connection.renew_slot() for connection in tuple(self._connections))
            if checks.is_due():
                await run_all([self._access.check_all(), self._credit.compare_epochs()])

    async def resync(self) -> None:
        """Resync all connections that wait for something."""
        await run_all(connection.resync() for connection in tuple(self._connections) if connection.is_waiting)


class Interval:
    """Whether `seconds` have passed since the last time that it was due."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds():
            return False
        self._last = now
        return True
