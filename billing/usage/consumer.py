"""The billing consumer: charges usage events from the stream `billing` to the ledger."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from django.conf import settings
from django.utils.module_loading import import_string

from billing.errors import Unreadable
from billing.redis_keys import USAGE_STREAM
from billing.usage.events import UsageEvent
from billing.usage.recording import Outcome, charge_batch
from config.observability import metrics
from config.redis.scripts import lua
from config.streams import (
    REFUSALS,
    Batch,
    BatchResult,
    Fields,
    Handler,
    StreamEntry,
    UnreadableEntry,
    reason_of,
)
from config.streams.dead_letters import replay_script

logger = logging.getLogger(__name__)

SCRIPTS = Path(__file__).resolve().parent / "lua"
REPLAY = replay_script(lua(SCRIPTS, "reserve_again"))

FIRST_RETRY = 0.25  # seconds, for an account whose row is locked elsewhere; doubled up to LAST_RETRY
LAST_RETRY = 5.0

EVENTS = metrics.counter("billing_processed_events", "Events that billing has finished")
CHARGED = metrics.counter("billing_charged_events", "Events that were new to the ledger")
USERS = metrics.counter("billing_processed_users", "Accounts in a batch, summed over the batches")
SECONDS = metrics.histogram("billing_processed_seconds", "Charging one batch and running its hooks")
PARKED = metrics.gauge("billing_parked_accounts", "Accounts whose usage waits for their row")


@dataclass(slots=True)
class Parked:
    """The deferred entries of one account, in order, while its row is locked by another transaction."""

    entries: list[StreamEntry[UsageEvent]]
    retry_at: float  # monotonic seconds
    delay: float = FIRST_RETRY


@dataclass(frozen=True, slots=True)
class Charged:
    """The outcome of charging some entries. `locked` are those whose account row is locked elsewhere."""

    done: list[StreamEntry[UsageEvent]]
    refused: list[tuple[StreamEntry[UsageEvent], str]]
    locked: list[StreamEntry[UsageEvent]]


class BillingHandler(Handler[UsageEvent]):
    """Charges usage, outside the path that listeners wait on.

    Run exactly one. A second one would be correct, since charging takes row locks, but the two would spend
    their time waiting for each other's locks.
    """

    streams = (USAGE_STREAM,)
    group = "billing"
    batch_size = settings.BILLING_BATCH_SIZE
    pause = settings.COLD_PAUSE_SECONDS
    refusals = ()  # charging itself finds the events that the database refuses
    on_acknowledge = lua(SCRIPTS, "release_reservation")

    def __init__(self) -> None:
        self._parked: dict[int, Parked] = {}

    @cached_property
    def hooks(self) -> list[Callable[[list[UsageEvent]], object]]:
        return [import_string(path) for path in settings.BILLING_BATCH_HOOKS]

    def parse(self, stream: str, fields: Fields) -> UsageEvent:
        try:
            return UsageEvent.from_fields(fields)
        except Unreadable as error:
            raise UnreadableEntry(str(error)) from error

    def acknowledge_args(self, event: UsageEvent) -> Sequence[str | bytes | int]:
        # No amount was reserved for an event that is not billed.
        return (event.id, event.user_id, event.usage_type.value, event.cost if event.billable else 0)

    def source(self, fields: Fields) -> bytes | None:
        return fields.get(b"user")

    def handle(self, batch: Batch[UsageEvent]) -> BatchResult[UsageEvent]:
        charged = self._charge(self._without_parked(batch.entries))
        for entry in charged.locked:
            self._park(entry)
        PARKED.set(len(self._parked))
        return BatchResult(charged.done, charged.refused)

    def retries(self) -> Sequence[Batch[UsageEvent]]:
        now = time.monotonic()
        return [Batch(list(parked.entries)) for parked in self._parked.values() if parked.retry_at <= now]

    def retry(self, batch: Batch[UsageEvent]) -> BatchResult[UsageEvent]:
        charged = self._charge(batch.entries)
        user_id = batch.entries[0].event.user_id
        if charged.locked:
            parked = self._parked[user_id]
            parked.entries = charged.locked
            parked.delay = min(LAST_RETRY, parked.delay * 2)
            parked.retry_at = time.monotonic() + parked.delay
        else:
            del self._parked[user_id]
        PARKED.set(len(self._parked))
        return BatchResult(charged.done, charged.refused)

    @property
    def deferred(self) -> int:
        return len(self._parked)

    def _charge(self, entries: Sequence[StreamEntry[UsageEvent]]) -> Charged:
        """Charge entries and run the hooks. Repeatable.

        Hooks run after the commit: one that fails delays the acknowledgement, never the charge.
        """
        started = time.monotonic()
        outcome = charge_batch([entry.event for entry in entries])
        finished = [entry.event for entry in entries if not _is_left(entry.event, outcome)]
        refused = dict(outcome.refused)
        if finished:
            refused |= self._run_hooks(finished)
            _report(finished, outcome.charged, time.monotonic() - started)
        charged = Charged([], [], [])
        for entry in entries:
            if error := refused.get(entry.event.id):
                charged.refused.append((entry, reason_of(error)))
            elif _is_left(entry.event, outcome):
                charged.locked.append(entry)
            else:
                charged.done.append(entry)
        return charged

    def _run_hooks(self, events: Sequence[UsageEvent]) -> dict[str, Exception]:
        """Run the hooks on all events, one by one if that is refused. Return {id: error} of the refused."""
        try:
            for hook in self.hooks:
                hook(list(events))
        except REFUSALS as error:
            if len(events) == 1:
                return {events[0].id: error}
            return _merged(self._run_hooks([event]) for event in events)
        return {}

    def _without_parked(
        self, entries: Sequence[StreamEntry[UsageEvent]]
    ) -> Sequence[StreamEntry[UsageEvent]]:
        """Entries of accounts that are not parked; the others join the parked entries of their account."""
        if not self._parked:
            return entries
        free = []
        for entry in entries:
            if entry.event.user_id in self._parked and entry.event.billable:
                self._park(entry)
            else:
                free.append(entry)
        return free

    def _park(self, entry: StreamEntry[UsageEvent]) -> None:
        user_id = entry.event.user_id
        if user_id not in self._parked:
            self._parked[user_id] = Parked([], time.monotonic() + FIRST_RETRY)
        parked = self._parked[user_id]
        # After a lost connection the consumer reads its own pending entries once more.
        if all(entry.id != other.id for other in parked.entries):
            parked.entries.append(entry)


def _is_left(event: UsageEvent, outcome: Outcome) -> bool:
    """Whether an event was not charged. One that is not billable needs no charge."""
    if not event.billable:
        return False
    return event.user_id in outcome.waiting or event.id in outcome.refused


def _merged(parts: Iterable[dict[str, Exception]]) -> dict[str, Exception]:
    return {event_id: error for part in parts for event_id, error in part.items()}


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
