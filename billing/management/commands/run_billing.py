"""The process that charges usage: `manage.py run_billing`."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from billing.errors import Unreadable
from billing.redis_keys import USAGE_STREAM
from billing.usage.events import UsageEvent
from billing.usage.recording import Outcome, charge_batch
from config.observability import metrics
from config.streams.consumer import (
    Entry,
    Fields,
    StreamCommand,
    StreamConsumer,
    UnreadableEntry,
    reason_of,
)
from config.streams.dead_letters import replay_script

logger = logging.getLogger(__name__)

SCRIPTS = Path(__file__).resolve().parents[2] / "usage" / "lua"
REPLAY = replay_script((SCRIPTS / "reserve_again.lua").read_text())

FIRST_RETRY = 0.25  # seconds, for an account that is locked elsewhere; doubled up to LAST_RETRY
LAST_RETRY = 5.0
PARKED_BLOCK_MS = 100  # how long to wait for new entries while somebody is parked

EVENTS = metrics.counter("billing_processed_events", "Events that billing has seen through")
CHARGED = metrics.counter("billing_charged_events", "Events that were new to the ledger")
USERS = metrics.counter("billing_processed_users", "Accounts in a batch, summed over the batches")
SECONDS = metrics.histogram("billing_processed_seconds", "Charging one batch and running its hooks")
PARKED = metrics.gauge("billing_parked_accounts", "Accounts whose usage waits for their row")


@dataclass(slots=True)
class Parked:
    """An account's entries, in their order, until whoever holds its row lets go of it."""

    entries: list[Entry[UsageEvent]]
    retry_at: float
    delay: float = FIRST_RETRY


class BillingConsumer(StreamConsumer[UsageEvent]):
    """Charges usage, off the path that the listener waits on.

    Run exactly one. A second one would be correct, since charging takes row locks, but each would spend its
    time on what the other has locked.
    """

    streams = (USAGE_STREAM,)
    group = "billing"
    batch_size = settings.BILLING_BATCH_SIZE
    pause = settings.COLD_PAUSE_SECONDS
    follow_up = (SCRIPTS / "release_reservation.lua").read_text()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parked: dict[int, Parked] = {}
        self.outcome = Outcome()

    @cached_property
    def hooks(self) -> list[Callable[[list[UsageEvent]], object]]:
        return [import_string(path) for path in settings.BILLING_BATCH_HOOKS]

    def parse(self, stream: str, fields: Fields) -> UsageEvent:
        try:
            return UsageEvent.from_fields(fields)
        except Unreadable as error:
            raise UnreadableEntry(str(error)) from error

    def run_once(self, *, wait: bool = True) -> int:
        """One batch, and whoever is parked and due for another try; nobody waits for those."""
        retried = self._retry_parked()
        self.block_ms = PARKED_BLOCK_MS if self.parked else type(self).block_ms
        taken = super().run_once(wait=wait and not retried)
        if self.parked and not taken and not wait:
            time.sleep(PARKED_BLOCK_MS / 1000)
        return taken + retried + len(self.parked)  # until they are charged, something is left

    def handle(self, events: Sequence[UsageEvent]) -> None:
        """Hooks come after the commit: one that fails delays the acknowledgement, never the charge."""
        started = time.monotonic()
        self.outcome = charge_batch(events)
        done = [event for event in events if not self._is_left(event)]
        if done:
            self._run_hooks(done)
            _report(done, self.outcome.charged, time.monotonic() - started)

    def settle_args(self, event: UsageEvent) -> Sequence[str | bytes | int]:
        # Nothing was ever due for what is not billed.
        return (event.user_id, event.usage_type.value, event.cost if event.billable else 0)

    def _handle(self, entries: Sequence[Entry[UsageEvent]]) -> Sequence[Entry[UsageEvent]]:
        """No halving: charging itself finds out whom or what a refusal is about."""
        entries = self._without_parked(entries)
        self.handle([entry.event for entry in entries])
        done = []
        for entry in entries:
            if error := self.outcome.refused.get(entry.event.id):
                args = self.settle_args(entry.event)
                self._bury(entry.stream, entry.id, entry.fields, reason_of(error), args)
            elif self._is_left(entry.event):
                self._park(entry)
            else:
                done.append(entry)
        return done

    def _is_left(self, event: UsageEvent) -> bool:
        if not event.billable:
            return False
        return event.user_id in self.outcome.waiting or event.id in self.outcome.refused

    def _run_hooks(self, events: Sequence[UsageEvent]) -> None:
        """One by one when they are refused together; what is refused alone was charged, and is buried."""
        try:
            for hook in self.hooks:
                hook(list(events))
        except self.refusals as error:
            if len(events) == 1:
                self.outcome.refused[events[0].id] = error
                return
            for event in events:
                self._run_hooks([event])

    def _without_parked(self, entries: Sequence[Entry[UsageEvent]]) -> Sequence[Entry[UsageEvent]]:
        """Those of parked accounts queue up behind what waits already."""
        if not self.parked:
            return entries
        free = []
        for entry in entries:
            parked = self.parked.get(entry.event.user_id)
            if parked and entry.event.billable:
                self._add(parked, entry)
            else:
                free.append(entry)
        return free

    def _park(self, entry: Entry[UsageEvent]) -> None:
        user_id = entry.event.user_id
        if user_id not in self.parked:
            self.parked[user_id] = Parked([], time.monotonic() + FIRST_RETRY)
        self._add(self.parked[user_id], entry)
        PARKED.set(len(self.parked))

    def _add(self, parked: Parked, entry: Entry[UsageEvent]) -> None:
        # After half a minute the loop hands us our own entries once more.
        if all(entry.id != other.id for other in parked.entries):
            parked.entries.append(entry)

    def _retry_parked(self) -> int:
        """Try again whoever is due. Return how many entries are no longer parked."""
        now = time.monotonic()
        freed = 0
        for user_id in [user_id for user_id, parked in self.parked.items() if parked.retry_at <= now]:
            freed += self._retry(user_id)
        PARKED.set(len(self.parked))
        return freed

    def _retry(self, user_id: int) -> int:
        waiting = self.parked.pop(user_id)
        try:
            self._keep(waiting.entries)
            self.settle(self._handle(waiting.entries))
        except self.transient:
            self.parked[user_id] = waiting
            raise
        if again := self.parked.get(user_id):
            again.delay = min(LAST_RETRY, waiting.delay * 2)
            again.retry_at = time.monotonic() + again.delay
        return len(waiting.entries) - (len(again.entries) if again else 0)

    def _keep(self, entries: Sequence[Entry[UsageEvent]]) -> None:
        """They are in hand: without this, they would count as left by somebody who died."""
        self.redis.xclaim(
            USAGE_STREAM, self.group, self.consumer, 0, [entry.id for entry in entries], justid=True
        )


def _report(events: Sequence[UsageEvent], charged: int, seconds: float) -> None:
    users = len({event.user_id for event in events})
    EVENTS.inc(len(events))
    CHARGED.inc(charged)
    USERS.inc(users)
    SECONDS.observe(seconds)
    logger.info(
        "billing_processed",
        extra={
            "events_count": len(events),
            "charged_count": charged,
            "users_count": users,
            "text_length": sum(event.cost for event in events if event.billable),
            "duration_ms": round(seconds * 1000, 1),
        },
    )


class Command(StreamCommand):
    help = "Charge the usage that finished jobs report."
    consumer_class = BillingConsumer
