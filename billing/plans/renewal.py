"""Renewal: closes ended periods, carries their rest into the rollover, and opens the next."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from redis import Redis

from billing import waterfall
from billing.models import LedgerEntry, Subscription, UsagePeriod
from billing.plans.balances import invalidate
from billing.usage import ledger
from billing.usage.locks import lock_subscriptions, set_lock_timeout
from billing.usage_types import UsageType

BATCH = 500  # accounts in one transaction


def close_ended(now: datetime | None = None) -> int:
    """Close ended periods, and open current ones of accounts that may carry characters over.

    Return the number of closed periods. Repeatable; one transaction for each batch of accounts. Accounts that
    are locked elsewhere are left to the next call.
    """
    at = now or timezone.now()
    closed, after = 0, 0
    while user_ids := _next_accounts(at, after):
        closed += _renew(user_ids, at)
        after = user_ids[-1]
    return closed


def renew(redis: Redis) -> None:
    """Close ended periods; run by the scheduler."""
    close_ended()


def _next_accounts(now: datetime, after: int) -> list[int]:
    """The next accounts, by number, that have a period to close or to open."""
    of_account = UsagePeriod.objects.filter(user_id=OuterRef("user_id"))
    has_ended = Exists(of_account.filter(closed_at__isnull=True, end__lte=now))
    has_begun = {
        kind: Exists(of_account.filter(usage_type=kind, start__lte=now, end__gt=now)) for kind in UsageType
    }
    to_open = Q()
    for kind in UsageType:
        to_open |= _may_carry(kind) & ~Q(has_begun[kind])
    rows = Subscription.objects.filter(Q(has_ended) | to_open, user_id__gt=after).order_by("user_id")
    return list(rows.values_list("user_id", flat=True)[:BATCH])


def _may_carry(kind: UsageType) -> Q:
    """Whether the end of a period can change the rollover."""
    limited = Q(**{f"{kind}_limit__gt": 0})
    return limited if waterfall.ROLLOVER_CAP[kind] else limited & Q(**{f"{kind}_rollover__lt": 0})


@transaction.atomic
def _renew(user_ids: list[int], now: datetime) -> int:
    set_lock_timeout()
    subscriptions = lock_subscriptions(user_ids, wait=False)
    periods = list(
        UsagePeriod.objects.select_for_update(no_key=True)
        .filter(user_id__in=list(subscriptions), closed_at__isnull=True, end__lte=now)
        .order_by("user_id", "usage_type", "start")
    )
    rows = []
    for period in periods:
        rows += _close(period, subscriptions[period.user_id], now)
    if rows:
        ledger.insert(rows)
        ledger.write_pools(subscriptions[user_id] for user_id in sorted({row.user_id for row in rows}))
    UsagePeriod.objects.bulk_update(periods, ["closed_at", "rollover_before", "carried"])
    _open(subscriptions.values(), now)
    invalidate(*{row.user_id for row in rows})
    return len(periods)


def _close(period: UsagePeriod, subscription: Subscription, now: datetime) -> list[ledger.Row]:
    kind = UsageType(period.usage_type)
    pools = subscription.pools(kind)
    period.closed_at = now
    period.rollover_before = pools.rollover
    cap = waterfall.ROLLOVER_CAP[kind]
    period.carried = waterfall.carry(period.limit, period.used, pools.rollover, cap)
    if not period.carried:
        return []
    parts, pools = waterfall.roll_over(period.carried, pools)
    subscription.set_pools(kind, pools)
    row = ledger.change_row(
        f"rollover-{period.pk}",
        LedgerEntry.Kind.ROLLOVER,
        period.user_id,
        kind,
        parts,
        period.end,
        reason=f"left over from {period.start:%Y-%m-%d}",
    )
    return [row]


def _open(subscriptions: Iterable[Subscription], now: datetime) -> None:
    """Create the current periods of limited types: a period without usage leaves its whole limit over."""
    periods = [
        UsagePeriod.of_month(subscription.user_id, kind, now, subscription.limit(kind))
        for subscription in subscriptions
        for kind in UsageType
        if (subscription.limit(kind) or 0) > 0
    ]
    UsagePeriod.objects.bulk_create(periods, ignore_conflicts=True)
