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
from billing.models import Balance, EntryKind, LedgerEntry, Plan, Subscription, UsagePeriod
from billing.redis_keys import CREDIT_EPOCH
from billing.usage import ledger
from billing.usage.locks import lock_subscriptions, read_balances, set_lock_timeout
from billing.usage_types import UsageType
from config.caching import announce


@contextmanager
def changing(user_id: int) -> Iterator[Mapping[UsageType, Balance]]:
    """One transaction with the account's row locked, and its balances; its commit invalidates cached ones.

    Raises MissingSubscription, or OperationalError if the row stays locked elsewhere.
    """
    with transaction.atomic():
        set_lock_timeout()
        balances = read_balances(lock_subscriptions([user_id]))
        if len(balances) < len(UsageType):
            raise MissingSubscription([user_id])
        yield {usage_type: balances[user_id, usage_type] for usage_type in UsageType}
        invalidate(user_id)


def invalidate(*user_ids: int) -> None:
    """Raise the credit epochs after the commit. Without Redis, readers resync once it is back."""
    transaction.on_commit(partial(announce, *(f"{CREDIT_EPOCH}:{user_id}" for user_id in user_ids)))


def assign(user_id: int, plan: Plan) -> None:
    """Give the account this plan and its limits, from the current period on."""
    with changing(user_id) as balances:
        Subscription.objects.filter(user_id=user_id).update(plan=plan)
        _set_limits(balances, {usage_type: plan.limit(usage_type) for usage_type in UsageType})


def set_limits(user_id: int, **limits: int | None) -> None:
    """Replace the limits of these usage types; plan and other limits stay. None: unlimited."""
    chosen = {UsageType(name): limit for name, limit in limits.items()}
    with changing(user_id) as balances:
        _set_limits(balances, chosen)


def close(user_id: int) -> None:
    """Remove plan and limits of an account, as part of the transaction that deletes it.

    Ledger, periods, sums and balances stay under its number, which is never reused and then identifies no
    person; usage that is not charged yet is booked there as well.
    """
    with suppress(MissingSubscription), changing(user_id) as balances:
        Subscription.objects.filter(user_id=user_id).update(plan=None)
        _set_limits(balances, dict.fromkeys(UsageType, 0))


def _set_limits(balances: Mapping[UsageType, Balance], limits: Mapping[UsageType, int | None]) -> None:
    for usage_type, limit in limits.items():
        balance = balances[usage_type]
        balance.limit = limit
        balance.save(update_fields=["limit"])
        UsagePeriod.objects.filter(
            user_id=balance.user_id, usage_type=usage_type, closed_at__isnull=True, end__gt=timezone.now()
        ).update(limit=limit)


def grant(
    user_id: int,
    usage_type: UsageType,
    characters: int,
    *,
    reason: str,
    operator: str,
    operation_id: str | None = None,
) -> None:
    """Give characters: debt is paid first, the rest does not expire. Repeatable with an `operation_id`."""
    if characters <= 0:
        raise ValueError("A gift has at least one character.")
    _book(
        EntryKind.GRANT,
        user_id,
        usage_type,
        characters,
        reason=reason,
        operator=operator,
        operation_id=operation_id,
    )


def correct(
    user_id: int,
    usage_type: UsageType,
    characters: int,
    *,
    reason: str,
    operator: str,
    operation_id: str | None = None,
) -> None:
    """Give back characters that were charged by mistake; a negative number takes characters.

    Repeatable with an `operation_id`.
    """
    if characters == 0:
        raise ValueError("A correction must not be 0.")
    _book(
        EntryKind.CORRECTION,
        user_id,
        usage_type,
        characters,
        reason=reason,
        operator=operator,
        operation_id=operation_id,
    )


def _book(
    kind: EntryKind,
    user_id: int,
    usage_type: UsageType,
    characters: int,
    *,
    reason: str,
    operator: str,
    operation_id: str | None,
) -> None:
    """Change a balance and write the entry, once for each operation id, account and usage type."""
    with changing(user_id) as balances:
        if operation_id is not None and _is_booked(operation_id, user_id, usage_type):
            return
        balance = balances[usage_type]
        if characters > 0:
            parts, balance.pools = waterfall.give(characters, balance.pools)
        else:
            parts, balance.pools = waterfall.draw(-characters, 0, balance.pools)
        row = ledger.change_row(
            f"{kind}-{uuid4()}",
            kind,
            user_id,
            usage_type,
            parts,
            timezone.now(),
            reason=reason,
            operator=operator,
            operation_id=operation_id,
        )
        ledger.insert([row])
        ledger.write_balances([balance])


def _is_booked(operation_id: str, user_id: int, usage_type: UsageType) -> bool:
    return LedgerEntry.objects.filter(
        operation_id=operation_id, user_id=user_id, usage_type=usage_type
    ).exists()
