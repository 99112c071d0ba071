"""Keeps a row for each variant that was spoken; called with the events that billing has charged."""

from collections.abc import Sequence

from billing.events import UsageEvent
from yapit.models import BlockVariant


def record(events: Sequence[UsageEvent]) -> None:
    """Insert the variants that are new, all in one statement. Repeatable."""
    rows = {event.hash: _variant(event) for event in events}
    # In one order everywhere: two writers of the same hashes wait for each other, never in a circle.
    BlockVariant.objects.bulk_create((rows[key] for key in sorted(rows)), ignore_conflicts=True)


def _variant(event: UsageEvent) -> BlockVariant:
    return BlockVariant(
        hash=event.hash,
        model=event.model,
        voice=event.voice,
        characters=event.characters,
        duration_ms=event.duration_ms,
        created=event.occurred_at,
    )
