"""Concurrent writers on one account: usage, gifts, corrections and limits, as from several processes.

Two wrong ways serve as controls: without the lock, and with the lock taken last.
"""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Sum

from billing import waterfall
from billing.models import Balance, LedgerEntry, Subscription, UsagePeriod
from billing.plans import balances
from billing.usage import charging, ledger
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from tests.billing.usage_events import balance_of, make_event

KIND = UsageType.PREMIUM
BY = {"reason": "a writer", "operator": "ada"}
Write = Callable[[int, random.Random], None]


@dataclass(slots=True)
class Outcome:
    """Errors and drift. A lost update is `refused` by a constraint where a balance would become negative."""

    deadlocks: int = 0
    timeouts: int = 0  # lock timeouts: the machine is busy, or the holder is in a deadlock
    refused: int = 0
    drift: int = 0  # characters between counters or balances and the sum of the ledger


def write_at_once(user_id: int, operations: int, write: Write, *, writers: int = 4) -> Outcome:
    """Run this many operations in each of the writers."""
    connection.close()  # the pool has one connection for each of the four writers
    outcome = Outcome()
    threads = [
        threading.Thread(target=_write, args=(user_id, operations, write, outcome, seed))
        for seed in range(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.drift = drift(user_id)
    return outcome


def _write(user_id: int, operations: int, write: Write, outcome: Outcome, seed: int) -> None:
    chance = random.Random(seed)
    try:
        for _ in range(operations):
            try:
                write(user_id, chance)
            except IntegrityError:
                outcome.refused += 1
            except OperationalError as error:
                _count(outcome, getattr(error.__cause__, "sqlstate", ""), error)
    finally:
        connection.close()


def _count(outcome: Outcome, sqlstate: str, error: OperationalError) -> None:
    if sqlstate == "40P01":
        outcome.deadlocks += 1
    elif sqlstate == "55P03":
        outcome.timeouts += 1
    else:
        raise error


def drift(user_id: int) -> int:
    """Drift of an account that started with empty balances."""
    entries = LedgerEntry.objects.filter(user_id=user_id, usage_type=KIND)
    sums = entries.aggregate(
        debt=Sum("to_debt", default=0),
        rollover=Sum("from_rollover", default=0),
        purchased=Sum("from_purchased", default=0),
        used=Sum("from_subscription", default=0),
    )
    pools = balance_of(user_id, KIND).pools
    periods = UsagePeriod.objects.filter(user_id=user_id, usage_type=KIND)
    used = periods.aggregate(used=Sum("used", default=0))["used"]
    return (
        abs(pools.rollover + sums["rollover"] + sums["debt"])
        + abs(pools.purchased + sums["purchased"])
        + abs(used - sums["used"])
    )


def random_change(user_id: int, chance: random.Random) -> None:
    """A random change of the account through the public functions."""
    number = chance.random()
    if number < 0.6:
        uses = [
            make_event(user_id, chance.randint(1, 500), usage_type=KIND) for _ in range(chance.randint(1, 3))
        ]
        record_usage(uses)
    elif number < 0.8:
        balances.grant(user_id, KIND, chance.randint(1, 900), **BY)
    elif number < 0.95:
        balances.correct(user_id, KIND, chance.choice((-1, 1)) * chance.randint(1, 300), **BY)
    else:
        balances.set_limits(user_id, standard=None, premium=chance.randint(0, 50_000))


def with_the_lock_last(user_id: int, chance: random.Random) -> None:
    """Wrong: the ledger entry first, with the shared row lock that a foreign key would take."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT FROM {Subscription._meta.db_table} WHERE user_id = %s FOR KEY SHARE",
                [user_id],
            )
        cost = chance.randint(1, 500)
        ledger.insert(
            [ledger.usage_row(make_event(user_id, cost, usage_type=KIND), waterfall.Parts(to_debt=cost))]
        )
        Subscription.objects.select_for_update().get(user_id=user_id)
        balance = Balance.objects.get(user_id=user_id, usage_type=KIND)
        balance.rollover -= cost
        balance.save(update_fields=["rollover"])


@contextlib.contextmanager
def without_the_lock() -> Iterator[None]:
    """Wrong: reads take no locks, so writers do not wait for each other."""

    def subscriptions(user_ids, *, wait: bool = True):
        rows = Subscription.objects.filter(user_id__in=list(user_ids))
        return set(rows.values_list("user_id", flat=True))

    def periods(user_ids, since, until):
        return list(UsagePeriod.objects.filter(user_id__in=list(user_ids), end__gt=since, start__lte=until))

    replacements = [
        (charging, "lock_subscriptions", subscriptions),
        (charging, "lock_periods", periods),
        (balances, "lock_subscriptions", subscriptions),
    ]
    before = [getattr(module, name) for module, name, _ in replacements]
    for module, name, replacement in replacements:
        setattr(module, name, replacement)
    try:
        yield
    finally:
        for (module, name, _), original in zip(replacements, before, strict=True):
            setattr(module, name, original)
