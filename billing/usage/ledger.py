"""Writes of the ledger and its sums: one statement per table and batch. Callers hold the row locks."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from billing.models import Balance, EntryKind, LedgerEntry, UsageDay, UsagePeriod, VoiceMonth
from billing.usage.events import UsageEvent
from billing.usage_types import UsageType
from billing.waterfall import Parts
from config.database.columns import array, column, columns, unnested

LEDGER = LedgerEntry._meta.db_table
BALANCE = Balance._meta.db_table
PERIOD = UsagePeriod._meta.db_table
SUMS = ("events", "characters", "cost", "duration_ms")


class Row(NamedTuple):
    """A ledger row in column order; its four parts are those of `Parts`."""

    event_id: str
    kind: str
    user_id: int
    characters: int
    multiplier_bp: int
    cost: int
    from_subscription: int
    from_rollover: int
    from_purchased: int
    to_debt: int
    usage_type: str
    model: str
    voice: str
    document: UUID | None
    duration_ms: int
    hash: str
    reason: str
    operator: str
    occurred_at: datetime
    api_key: str | None
    operation_id: str | None


def usage_row(event: UsageEvent, parts: Parts) -> Row:
    """The row of a charged usage event."""
    return Row(
        event.id,
        "usage",
        event.user_id,
        event.characters,
        event.multiplier_bp,
        event.cost,
        *parts,
        event.usage_type.value,
        event.model,
        event.voice,
        event.document,
        event.duration_ms,
        event.hash,
        "",
        "",
        event.occurred_at,
        event.api_key,
        None,
    )


def change_row(
    event_id: str,
    kind: EntryKind,
    user_id: int,
    usage_type: UsageType,
    parts: Parts,
    occurred_at: datetime,
    *,
    reason: str,
    operator: str = "",
    operation_id: str | None = None,
) -> Row:
    """The row of any other change of a balance, such as a gift or a rollover."""
    return Row(
        event_id,
        kind.value,
        user_id,
        0,
        0,
        parts.total,
        *parts,
        usage_type.value,
        "",
        "",
        None,
        0,
        "",
        reason,
        operator,
        occurred_at,
        None,
        operation_id,
    )


def recorded(event_ids: Collection[str]) -> set[str]:
    """Those of these event ids that are in the ledger."""
    with connection.cursor() as cursor:
        # ANY instead of IN: one parameter, and one plan for any number of ids. A subquery, because planning
        # with constants compares each of them with the statistics, which takes longer than the lookup.
        cursor.execute(
            f"SELECT event_id FROM {LEDGER} WHERE event_id = ANY(ARRAY(SELECT unnest({array('text')})))",  # noqa: S608
            [column(event_ids)],
        )
        return {event_id for (event_id,) in cursor.fetchall()}


def insert(rows: Sequence[Row]) -> None:
    """Insert by COPY, which is neither parsed nor planned: a third of the time of INSERT."""
    names = ", ".join(Row._fields)
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {LEDGER} ({names}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)


def write_balances(balances: Iterable[Balance]) -> None:
    """Save rollover and purchased characters of accounts whose subscriptions are locked."""
    _update(BALANCE, ["rollover", "purchased"], [(row.pk, row.rollover, row.purchased) for row in balances])


def write_counters(periods: Iterable[UsagePeriod]) -> None:
    """Save the counters of locked periods."""
    names = ["used", "total", "rollover_before", "carried"]
    _update(PERIOD, names, [(row.pk, *(getattr(row, name) for name in names)) for row in periods])


def add_to_sums(events: Iterable[UsageEvent]) -> None:
    """Add events to `usage_day` and voice statistics, by the time of the event."""
    days: dict[tuple[object, ...], list[int]] = {}
    months: dict[tuple[object, ...], list[int]] = {}
    for event in events:
        day = event.occurred_at.date()
        day_key = (event.user_id, day, event.usage_type.value, event.model, event.voice)
        _add(days.setdefault(day_key, [0, 0, 0, 0]), event)
        month_key = (event.user_id, day.replace(day=1), event.model, event.voice)
        _add(months.setdefault(month_key, [0, 0, 0, 0]), event)
    _upsert(
        UsageDay._meta.db_table,
        {"user_id": "bigint", "day": "date", "usage_type": "text", "model": "text", "voice": "text"},
        days,
    )
    _upsert(
        VoiceMonth._meta.db_table,
        {"user_id": "bigint", "month": "date", "model": "text", "voice": "text"},
        months,
    )


def _add(sums: list[int], event: UsageEvent) -> None:
    sums[0] += 1
    sums[1] += event.characters
    sums[2] += event.cost
    sums[3] += event.duration_ms


def _update(table: str, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Update these columns by id. The CASE of bulk_update would grow with rows times columns."""
    if not rows:
        return
    values = ", ".join(f"{name} = new.{name}" for name in names)
    new = unnested(dict.fromkeys(("id", *names), "bigint"))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {values} FROM {new} WHERE {table}.id = new.id",  # noqa: S608
            columns(rows),
        )


def _upsert(table: str, key: dict[str, str], sums: dict[tuple[Any, ...], list[int]]) -> None:
    """Add to rows with these keys, in key order: deleted accounts have no row lock that orders writers."""
    names = [*key, *SUMS]
    new = unnested(key | dict.fromkeys(SUMS, "bigint"))
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in SUMS)
    rows = [(*values, *sums[values]) for values in sorted(sums)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT * FROM {new}"  # noqa: S608
            f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {added}",
            columns(rows),
        )
