"""The one door through which an account's plan, limits or balance change: plans, gifts, corrections.

Charging and rollovers keep the same order of locks; what a charge takes, sockets see by what is due.
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
    """One transaction with the account's row locked, and everybody told after its commit.

    Raises MissingSubscription, or OperationalError when the row stays locked elsewhere.
    """
    with transaction.atomic():
        set_lock_timeout()
        try:
            subscription = lock_subscriptions([user_id])[user_id]
        except KeyError:
            raise MissingSubscription([user_id]) from None
        yield subscription
        tell(user_id)


def tell(*user_ids: int) -> None:
    """After the commit, those who remember these balances; without Redis, they look again when it is back."""
    transaction.on_commit(partial(announce, *(f"{CREDIT_EPOCH}:{user_id}" for user_id in user_ids)))


def assign(user_id: int, plan: Plan) -> None:
    """The account gets the plan's limits, from the current period on."""
    with changing(user_id) as subscription:
        subscription.plan = plan
        subscription.save(update_fields=["plan"])
        _limit(subscription, {UsageType.STANDARD: plan.standard_limit, UsageType.PREMIUM: plan.premium_limit})


def set_limits(user_id: int, *, standard: int | None, premium: int | None) -> None:
    """Limits of its own, whatever its plan says."""
    with changing(user_id) as subscription:
        _limit(subscription, {UsageType.STANDARD: standard, UsageType.PREMIUM: premium})


def close(user_id: int) -> None:
    """For an account that is deleted, in the same transaction: it has no plan and no limit to spend any more.

    Ledger, periods, sums and what is left of its balances stay under its number, which names nobody then and
    is never given again; usage that is still on its way is booked there, too.
    """
    with suppress(MissingSubscription), changing(user_id) as subscription:
        subscription.plan = None
        subscription.save(update_fields=["plan"])
        _limit(subscription, dict.fromkeys(UsageType, 0))


def _limit(subscription: Subscription, limits: Mapping[UsageType, int | None]) -> None:
    for kind, limit in limits.items():
        setattr(subscription, f"{kind}_limit", limit)
        UsagePeriod.objects.filter(
            user_id=subscription.user_id, usage_type=kind, closed_at__isnull=True, end__gt=timezone.now()
        ).update(limit=limit)
    subscription.save(update_fields=[f"{kind}_limit" for kind in limits])


def grant(user_id: int, usage_type: UsageType, characters: int, *, reason: str, operator: str) -> None:
    """Give characters: debt is paid first, the rest is kept until it is used."""
    if characters <= 0:
        raise ValueError("A gift is of at least one character.")
    _book(LedgerEntry.Kind.GRANT, user_id, usage_type, characters, reason, operator)


def correct(user_id: int, usage_type: UsageType, characters: int, *, reason: str, operator: str) -> None:
    """Give back what was charged wrongly, or, below 0, take what was not charged."""
    if characters == 0:
        raise ValueError("A correction by nothing is none.")
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
