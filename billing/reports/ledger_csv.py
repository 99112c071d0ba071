"""Ledger entries as CSV, read and encoded one page at a time."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from billing.models import PARTS, LedgerEntry
from config.database.offload import offload

PAGE = 2_000
COLUMNS = (
    *("occurred_at", "kind", "usage_type", "model", "voice", "document"),
    *("characters", "multiplier_bp", "cost", *PARTS, "duration_ms", "event_id", "reason"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")

Position = tuple[datetime, int]  # time and id of an entry


async def ledger_csv(rows: QuerySet[LedgerEntry], columns: Sequence[str] = COLUMNS) -> AsyncIterator[bytes]:
    """A header and these entries, oldest first, in pieces of PAGE lines. `columns` include `occurred_at`."""
    yield _lines([columns])
    time = columns.index("occurred_at")
    after: Position | None = None
    while page := await offload(_page, rows, columns, after):
        yield _lines(row[:-1] for row in page)
        after = page[-1][time], page[-1][-1]


def _page(
    rows: QuerySet[LedgerEntry], columns: Sequence[str], after: Position | None
) -> list[tuple[Any, ...]]:
    """The entries behind `after`, each followed by its id."""
    if after is not None:
        at, last = after
        rows = rows.filter(occurred_at__gte=at).exclude(occurred_at=at, id__lte=last)
    return list(rows.order_by("occurred_at", "id").values_list(*columns, "id")[:PAGE])


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    """Quotes what a spreadsheet would evaluate as a formula."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
