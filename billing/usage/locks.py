"""Row locks of accounts.

Lock order, in every transaction that changes balances: subscription rows by primary key, then usage periods,
then the ledger.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection

from billing.models import Subscription, UsagePeriod

LOCK_TIMEOUT = "2s"


def set_lock_timeout(timeout: str | None = None) -> None:
    """Set lock_timeout until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [timeout or LOCK_TIMEOUT])


def lock_subscriptions(user_ids: Iterable[int], *, wait: bool = True) -> dict[int, Subscription]:
    """Lock and return existing subscriptions by account; without `wait`, skip rows locked elsewhere."""
    rows = (
        # `of`: a lock of the plan's row would make all of its subscribers wait for each other.
        Subscription.objects.select_for_update(of=("self",), no_key=True, skip_locked=not wait)
        .filter(user_id__in=list(user_ids))
        .order_by("pk")
    )
    return {row.user_id: row for row in rows}


def lock_periods(user_ids: Iterable[int], since: datetime, until: datetime) -> list[UsagePeriod]:
    """Lock and return periods that overlap `since` to `until`, both included, ordered by account and time."""
    rows = UsagePeriod.objects.select_for_update(no_key=True).filter(
        user_id__in=list(user_ids), end__gt=since, start__lte=until
    )
    return list(rows.order_by("user_id", "usage_type", "start"))
