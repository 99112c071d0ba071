"""The locks under which anything of an account changes.

Their order, here and wherever balances change: subscription rows by primary key, then usage periods, then the
ledger.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection

from billing.models import Subscription, UsagePeriod

LOCK_TIMEOUT = "2s"


def set_lock_timeout(timeout: str | None = None) -> None:
    """Until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [timeout or LOCK_TIMEOUT])


def lock_subscriptions(user_ids: Iterable[int], *, wait: bool = True) -> dict[int, Subscription]:
    """Those that there are; without `wait`, those that nobody else holds."""
    rows = (
        # `of`: a plan's row is never locked, or all of its subscribers would wait for each other.
        Subscription.objects.select_for_update(of=("self",), no_key=True, skip_locked=not wait)
        .filter(user_id__in=list(user_ids))
        .order_by("pk")
    )
    return {row.user_id: row for row in rows}


def lock_periods(user_ids: Iterable[int], since: datetime, until: datetime) -> list[UsagePeriod]:
    """Those with a moment from `since` to `until`, both included; an account's in order of time."""
    rows = UsagePeriod.objects.select_for_update(no_key=True).filter(
        user_id__in=list(user_ids), end__gt=since, start__lte=until
    )
    return list(rows.order_by("user_id", "usage_type", "start"))
