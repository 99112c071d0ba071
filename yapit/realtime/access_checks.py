"""Access checks of open connections: they are closed when their key, session or account ends."""

import logging
from collections.abc import Callable, Collection
from typing import Protocol

from config import caching
from yapit import invalidation
from yapit.accounts import identity
from yapit.errors import AuthenticationUnavailable
from yapit.realtime.background import BackgroundTasks, run_all
from yapit.realtime.connections import Authenticated, Reconnectable

logger = logging.getLogger(__name__)


class Checked(Authenticated, Reconnectable, Protocol):
    pass


class AccessChecks:
    def __init__(self, connections: Collection[Checked], background: BackgroundTasks) -> None:
        self._connections = connections
        self._background = background

    def subscribe(self) -> list[Callable[[], None]]:
        """Follow changes of accounts, keys and sessions. Returns functions that end this."""
        kinds = (invalidation.ACCOUNT, invalidation.KEY, invalidation.SESSION)
        return [caching.subscribe(f"{kind}*", self._on_change) for kind in kinds]

    async def check_all(self) -> None:
        await self.check(tuple(self._connections))

    async def check(self, connections: Collection[Checked]) -> None:
        """Reject those whose access has ended, by one read of the database for all."""
        if not connections:
            return
        try:
            invalid = await identity.find_invalid({connection.identity for connection in connections})
        except AuthenticationUnavailable as error:
            logger.info("Open connections could not be checked: %s", error.code)
            return
        await run_all(connection.reject() for connection in connections if connection.identity in invalid)

    def _on_change(self, event: str) -> None:
        affected = [
            connection for connection in self._connections if connection.identity.is_affected_by(event)
        ]
        if event.endswith(invalidation.RENEWED):
            self._background.spawn(run_all([connection.ask_to_reconnect() for connection in affected]))
        elif affected:
            self._background.spawn(run_all([self.check(affected)]))
