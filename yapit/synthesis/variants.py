"""Rows of synthesized variants, recorded with the usage events that billing has charged."""

from collections.abc import Sequence

from django.db import connection

from billing.usage.events import UsageEvent
from config.database.columns import columns, unnested
from yapit.models import BlockVariant
from yapit.synthesis.speech_job import KIND

COLUMNS = {
    "hash": "text",
    "model": "text",
    "voice": "text",
    "characters": "bigint",
    "duration_ms": "bigint",
    "created": "timestamptz",
}
INSERT = f"""
INSERT INTO {BlockVariant._meta.db_table} ({", ".join(COLUMNS)}) SELECT * FROM {unnested(COLUMNS)}
ON CONFLICT DO NOTHING
"""  # noqa: S608  # our own table


def record(events: Sequence[UsageEvent]) -> None:
    """Insert new variants of speech in one statement. Repeatable."""
    by_hash = {event.hash: event for event in events if event.kind == KIND}
    if not by_hash:
        return
    # Sorted, as everywhere: two writers of the same hashes cannot deadlock.
    variants = [by_hash[key] for key in sorted(by_hash)]
    with connection.cursor() as cursor:
        cursor.execute(INSERT, columns(map(_row, variants)))


def _row(event: UsageEvent) -> tuple[object, ...]:
    return (event.hash, event.model, event.voice, event.characters, event.duration_ms, event.occurred_at)
