"""Renewal: closes ended periods, carries their rest into the rollover, and opens the next."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from redis import Redis

from billing import waterfall
from billing.models import Balance, EntryKind, Subscription, UsagePeriod
from billing.plans.balances import invalidate
from billing.usage import ledger
from billing.usage.locks import lock_subscriptions, read_balances, set_lock_timeout
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
    has_begun = of_account.filter(usage_type=OuterRef("usage_type"), start__lte=now, end__gt=now)
    to_open = Balance.objects.filter(_may_carry(), ~Exists(has_begun), user_id=OuterRef("user_id"))
    rows = Subscription.objects.filter(Q(has_ended) | Exists(to_open), user_id__gt=after).order_by("user_id")
    return list(rows.values_list("user_id", flat=True)[:BATCH])


def _may_carry() -> Q:
    """Balances whose rollover the end of a period can change."""
    is_kept = [usage_type.value for usage_type, cap in waterfall.ROLLOVER_CAP.items() if cap]
    return Q(limit__gt=0) & (Q(usage_type__in=is_kept) | Q(rollover__lt=0))


@transaction.atomic
def _renew(user_ids: list[int], now: datetime) -> int:
    set_lock_timeout()
    balances = read_balances(lock_subscriptions(user_ids, wait=False))
    accounts = {user_id for user_id, _ in balances}
    periods = list(
        UsagePeriod.objects.select_for_update(no_key=True)
        .filter(user_id__in=accounts, closed_at__isnull=True, end__lte=now)
        .order_by("user_id", "usage_type", "start")
    )
    rows = []
    for period in periods:
        if balance := balances.get((period.user_id, period.usage_type)):
            rows += _close(period, balance, now)
    if rows:
        ledger.insert(rows)
        changed = sorted({(row.user_id, row.usage_type) for row in rows})
        ledger.write_balances(balances[key] for key in changed)
    UsagePeriod.objects.bulk_update(periods, ["closed_at", "rollover_before", "carried"])
    _open(balances.values(), now)
    invalidate(*{row.user_id for row in rows})
    return len(periods)


def _close(period: UsagePeriod, balance: Balance, now: datetime) -> list[ledger.Row]:
    kind = UsageType(period.usage_type)
    period.closed_at = now
    period.rollover_before = balance.rollover
    cap = waterfall.ROLLOVER_CAP[kind]
    period.carried = waterfall.carry(period.limit, period.used, balance.rollover, cap)
    if not period.carried:
        return []
    parts, balance.pools = waterfall.roll_over(period.carried, balance.pools)
    row = ledger.change_row(
        f"rollover-{period.pk}",
        EntryKind.ROLLOVER,
        period.user_id,
        kind,
        parts,
        period.end,
        reason=f"left over from {period.start:%Y-%m-%d}",
    )
    return [row]


def _open(balances: Iterable[Balance], now: datetime) -> None:
    """Create the current periods of limited types: a period without usage leaves its whole limit over."""
    periods = [
        UsagePeriod.of_month(balance.user_id, UsageType(balance.usage_type), now, balance.limit)
        for balance in balances
        if (balance.limit or 0) > 0
    ]
    UsagePeriod.objects.bulk_create(periods, ignore_conflicts=True)
