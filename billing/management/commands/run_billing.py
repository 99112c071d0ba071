"""The process that charges usage: `manage.py run_billing`."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from django.conf import settings
from django.utils.module_loading import import_string

from billing.errors import Unreadable
from billing.events import USAGE_STREAM, UsageEvent
from billing.services import record_usage
from config import metrics
from config.dead_letters import replay_script
from config.streams import Fields, StreamCommand, StreamConsumer, UnreadableEntry

logger = logging.getLogger(__name__)

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
REPLAY = replay_script((SCRIPTS / "due_again.lua").read_text())

EVENTS = metrics.counter("billing_processed_events", "Events that billing has seen through")
CHARGED = metrics.counter("billing_charged_events", "Events that were new to the ledger")
USERS = metrics.counter("billing_processed_users", "Accounts in a batch, summed over the batches")
SECONDS = metrics.histogram("billing_processed_seconds", "Charging one batch and running its hooks")


class BillingConsumer(StreamConsumer[UsageEvent]):
    """Charges usage, off the path that the listener waits on.

    Run exactly one. A second one would be correct, since record_usage takes row locks, but it would spend
    its time waiting for the first.
    """

    streams = (USAGE_STREAM,)
    group = "billing"
    batch_size = settings.BILLING_BATCH_SIZE
    pause = settings.COLD_PAUSE_SECONDS
    follow_up = (SCRIPTS / "charged.lua").read_text()

    @cached_property
    def hooks(self) -> list[Callable[[list[UsageEvent]], object]]:
        return [import_string(path) for path in settings.BILLING_BATCH_HOOKS]

    def parse(self, stream: str, fields: Fields) -> UsageEvent:
        try:
            return UsageEvent.from_fields(fields)
        except Unreadable as error:
            raise UnreadableEntry(str(error)) from error

    def handle(self, events: Sequence[UsageEvent]) -> None:
        """Hooks come after the commit: one that fails delays the acknowledgement, never the charge."""
        started = time.monotonic()
        charged = record_usage(events)
        for hook in self.hooks:
            hook(list(events))
        _report(events, charged, time.monotonic() - started)

    def settle_args(self, event: UsageEvent) -> Sequence[str | bytes | int]:
        # Nothing was ever due for what is not billed.
        return (event.user_id, event.usage_type.value, event.cost if event.billable else 0)


def _report(events: Sequence[UsageEvent], charged: int, seconds: float) -> None:
    users = len({event.user_id for event in events})
    EVENTS.inc(len(events))
    CHARGED.inc(charged)
    USERS.inc(users)
    SECONDS.observe(seconds)
    logger.info(
        "billing_processed",
        extra={
            "events": len(events),
            "charged": charged,
            "users": users,
            "characters": sum(event.cost for event in events if event.billable),
            "seconds": round(seconds, 4),
        },
    )


class Command(StreamCommand):
    help = "Charge the usage that finished jobs report."
    consumer_class = BillingConsumer
