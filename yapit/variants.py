"""Keeps a row for each variant that was spoken; called with the events that billing has charged."""

from collections.abc import Sequence

from django.db import connection

from billing.events import UsageEvent
from yapit.models import BlockVariant

INSERT = f"""
INSERT INTO {BlockVariant._meta.db_table} (hash, model, voice, characters, duration_ms, created)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::timestamptz[])
ON CONFLICT DO NOTHING
"""  # noqa: S608  # our own table


def record(events: Sequence[UsageEvent]) -> None:
    """Insert the variants that are new, all in one statement. Repeatable."""
    if not events:
        return
    by_hash = {event.hash: event for event in events}
    # In one order everywhere: two writers of the same hashes wait for each other, never in a circle.
    variants = [by_hash[key] for key in sorted(by_hash)]
    # Not bulk_create, which spends more on a batch than its charge: it adapts each value of each row alone.
    with connection.cursor() as cursor:
        cursor.execute(
            INSERT,
            [
                [event.hash for event in variants],
                [event.model for event in variants],
                [event.voice for event in variants],
                [event.characters for event in variants],
                [event.duration_ms for event in variants],
                [event.occurred_at for event in variants],
            ],
        )
