"""Usage of an account by month, for `GET /v1/usage`, its CSV and the page `/usage/`."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from billing.periods import Period, month_named, month_of
from billing.reports import account_usage
from billing.reports.account_usage import UsageLine, UsageReport
from billing.reports.ledger_csv import ledger_csv
from billing.usage.events import UsageEvent
from config.redis import clients as redis_clients
from yapit import invalidation
from yapit.models import Document


@dataclass(frozen=True, slots=True)
class MonthlyUsage:
    """A month's usage, with {document id: title} of the documents that the account may read."""

    usage: UsageReport
    titles: dict[str, str]


def period_named(name: str | None) -> Period:
    """The month in UTC with this name, such as 2026-01; the current month for None or an invalid name."""
    return (month_named(name) if name else None) or month_of(timezone.now())


def usage_in(user_id: int, period: Period) -> MonthlyUsage:
    """Read the account's usage from PostgreSQL and Redis. Blocks."""
    with redis_clients.sync() as redis:
        usage = account_usage.usage_of(redis, user_id, period, timezone.now())
    return MonthlyUsage(usage, _titles(user_id, usage.documents))


def csv_of(user_id: int, period: Period) -> AsyncIterator[bytes]:
    """The account's ledger entries of the period as CSV, one page at a time."""
    return ledger_csv(account_usage.ledger_of(user_id, period))


def announce_charges(events: Sequence[UsageEvent]) -> None:
    """Tell the open connections of these accounts that their balances have changed. Repeatable."""
    invalidation.charged(*sorted({event.user_id for event in events if event.billable}))


def _titles(user_id: int, documents: Iterable[UsageLine]) -> dict[str, str]:
    ids = [UUID(line.name) for line in documents if line.name]
    readable = Document.objects.filter(Q(owner=user_id) | Q(is_public=True), pk__in=ids)
    return {str(pk): title for pk, title in readable.values_list("pk", "title")}
