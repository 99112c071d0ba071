"""Changes of an account's plan, limits and balances: all of them except charges and rollovers.

Each is one transaction under the account's row lock, and raises the credit epoch after its commit. Charges
need no epoch, since the characters that they take are reserved until then.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from billing import waterfall
from billing.errors import MissingSubscription
from billing.models import LedgerEntry, Plan, Subscription, UsagePeriod
from billing.redis_keys import CREDIT_EPOCH
from billing.usage import ledger
from billing.usage.locks import lock_subscriptions, set_lock_timeout
from billing.usage_types import UsageType
from config.caching import announce


@contextmanager
def changing(user_id: int) -> Iterator[Subscription]:
    """One transaction with the account's row locked; its commit invalidates cached balances.

    Raises MissingSubscription, or OperationalError if the row stays locked elsewhere.
    """
    with transaction.atomic():
        set_lock_timeout()
        try:
            subscription = lock_subscriptions([user_id])[user_id]
        except KeyError:
            raise MissingSubscription([user_id]) from None
        yield subscription
        invalidate(user_id)


def invalidate(*user_ids: int) -> None:
    """Raise the credit epochs after the commit. Without Redis, readers resync once it is back."""
    transaction.on_commit(partial(announce, *(f"{CREDIT_EPOCH}:{user_id}" for user_id in user_ids)))


def assign(user_id: int, plan: Plan) -> None:
    """Give the account this plan and its limits, from the current period on."""
    with changing(user_id) as subscription:
        subscription.plan = plan
        subscription.save(update_fields=["plan"])
        _set_limits(
            subscription, {UsageType.STANDARD: plan.standard_limit, UsageType.PREMIUM: plan.premium_limit}
        )


def set_limits(user_id: int, *, standard: int | None, premium: int | None) -> None:
    """Replace the account's limits; its plan stays. None: unlimited."""
    with changing(user_id) as subscription:
        _set_limits(subscription, {UsageType.STANDARD: standard, UsageType.PREMIUM: premium})


def close(user_id: int) -> None:
    """Remove plan and limits of an account, as part of the transaction that deletes it.

    Ledger, periods, sums and balances stay under its number, which is never reused and then identifies no
    person; usage that is not charged yet is booked there as well.
    """
    with suppress(MissingSubscription), changing(user_id) as subscription:
        subscription.plan = None
        subscription.save(update_fields=["plan"])
        _set_limits(subscription, dict.fromkeys(UsageType, 0))


def _set_limits(subscription: Subscription, limits: Mapping[UsageType, int | None]) -> None:
    for kind, limit in limits.items():
        setattr(subscription, f"{kind}_limit", limit)
        UsagePeriod.objects.filter(
            user_id=subscription.user_id, usage_type=kind, closed_at__isnull=True, end__gt=timezone.now()
        ).update(limit=limit)
    subscription.save(update_fields=[f"{kind}_limit" for kind in limits])


def grant(user_id: int, usage_type: UsageType, characters: int, *, reason: str, operator: str) -> None:
    """Give characters: debt is paid first, the rest does not expire."""
    if characters <= 0:
        raise ValueError("A gift has at least one character.")
    _book(LedgerEntry.Kind.GRANT, user_id, usage_type, characters, reason, operator)


def correct(user_id: int, usage_type: UsageType, characters: int, *, reason: str, operator: str) -> None:
    """Give back characters that were charged by mistake; a negative number takes characters."""
    if characters == 0:
        raise ValueError("A correction must not be 0.")
    _book(LedgerEntry.Kind.CORRECTION, user_id, usage_type, characters, reason, operator)


def _book(
    kind: LedgerEntry.Kind, user_id: int, usage_type: UsageType, characters: int, reason: str, operator: str
) -> None:
    with changing(user_id) as subscription:
        pools = subscription.pools(usage_type)
        if characters > 0:
            parts, pools = waterfall.give(characters, pools)
        else:
            parts, pools = waterfall.draw(-characters, 0, pools)
        subscription.set_pools(usage_type, pools)
        row = ledger.change_row(
            f"{kind}-{uuid4()}",
            kind,
            user_id,
            usage_type,
            parts,
            timezone.now(),
            reason=reason,
            operator=operator,
        )
        ledger.insert([row])
        ledger.write_pools([subscription])
