"""What an account used: behind `GET /v1/usage`, its CSV, and the page `/usage/`."""

import csv
import io
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from billing.periods import Period, month_named, month_of
from billing.reports import account_usage
from billing.reports.account_usage import COLUMNS, Line, Usage, as_cell, place_of
from config.database.offload import offload
from config.redis import clients as redis_clients
from yapit.models import Document


@dataclass(frozen=True, slots=True)
class MonthlyUsage:
    """A month's usage, its documents with the titles that the account may see."""

    usage: Usage
    titles: dict[str, str]


def period_named(name: str | None) -> Period:
    """A month in UTC, 2026-01; the current one for None, and for what is no month."""
    return (month_named(name) if name else None) or month_of(timezone.now())


def usage_in(user_id: int, period: Period) -> MonthlyUsage:
    with redis_clients.sync() as redis:
        usage = account_usage.usage_of(redis, user_id, period, timezone.now())
    return MonthlyUsage(usage, _titles(user_id, usage.documents))


async def csv_of(user_id: int, period: Period) -> AsyncIterator[bytes]:
    """The ledger of the month, a page at a time."""
    yield _lines([COLUMNS])
    after: tuple[datetime, int] | None = None
    while page := await offload(account_usage.entries, user_id, period, after):
        yield _lines(row[:-1] for row in page)
        after = place_of(page[-1])


def _titles(user_id: int, documents: Iterable[Line]) -> dict[str, str]:
    ids = [UUID(line.name) for line in documents if line.name]
    seen = Document.objects.filter(Q(owner=user_id) | Q(is_public=True), pk__in=ids)
    return {str(pk): title for pk, title in seen.values_list("pk", "title")}


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow([as_cell(value) for value in row])
    return text.getvalue().encode()
