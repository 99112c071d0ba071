"""Four writers on one account: uses, gifts, corrections and limits, as they come from several processes.

And two ways that are wrong: without the lock, and with the lock last.
"""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Sum

from billing import waterfall
from billing.models import LedgerEntry, Subscription, UsagePeriod
from billing.plans import balances
from billing.usage import charging, ledger
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from tests.billing.usage_events import make_event

KIND = UsageType.PREMIUM
BY = {"reason": "a writer", "operator": "somebody"}
Write = Callable[[int, random.Random], None]


@dataclass(slots=True)
class Outcome:
    """`refused`: by a constraint, which is how a lost update shows where it would go below nothing."""

    deadlocks: int = 0
    timeouts: int = (
        0  # waited two seconds for the row, of a machine that is busy or of somebody in a deadlock
    )
    refused: int = 0
    drift: int = 0  # characters by which counters and balances are not the sum of the ledger


def write_at_once(user_id: int, operations: int, write: Write, *, writers: int = 4) -> Outcome:
    """Each of the writers does so many operations."""
    connection.close()  # the pool has one for each of the four
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
    """Works for one account that began with nothing."""
    entries = LedgerEntry.objects.filter(user_id=user_id, usage_type=KIND)
    sums = entries.aggregate(
        debt=Sum("to_debt", default=0),
        rollover=Sum("from_rollover", default=0),
        purchased=Sum("from_purchased", default=0),
        used=Sum("from_subscription", default=0),
    )
    pools = Subscription.objects.get(user_id=user_id).pools(KIND)
    periods = UsagePeriod.objects.filter(user_id=user_id, usage_type=KIND)
    used = periods.aggregate(used=Sum("used", default=0))["used"]
    return (
        abs(pools.rollover + sums["rollover"] + sums["debt"])
        + abs(pools.purchased + sums["purchased"])
        + abs(used - sums["used"])
    )


def anything(user_id: int, chance: random.Random) -> None:
    """What may happen to an account, through the doors that are there for it."""
    what = chance.random()
    if what < 0.6:
        uses = [
            make_event(user_id, chance.randint(1, 500), usage_type=KIND) for _ in range(chance.randint(1, 3))
        ]
        record_usage(uses)
    elif what < 0.8:
        balances.grant(user_id, KIND, chance.randint(1, 900), **BY)
    elif what < 0.95:
        balances.correct(user_id, KIND, chance.choice((-1, 1)) * chance.randint(1, 300), **BY)
    else:
        balances.set_limits(user_id, standard=None, premium=chance.randint(0, 50_000))


def with_the_lock_last(user_id: int, chance: random.Random) -> None:
    """The entry first; as if it referred to the subscription, which takes a shared lock of its row."""
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
        row = Subscription.objects.select_for_update().get(user_id=user_id)
        row.premium_rollover -= cost
        row.save(update_fields=["premium_rollover"])


@contextlib.contextmanager
def without_the_lock() -> Iterator[None]:
    """Everybody reads, decides and writes, and nobody waits."""

    def subscriptions(user_ids, *, wait: bool = True):
        return {row.user_id: row for row in Subscription.objects.filter(user_id__in=list(user_ids))}

    def periods(user_ids, since, until):
        return list(UsagePeriod.objects.filter(user_id__in=list(user_ids), end__gt=since, start__lte=until))

    kept = [
        (charging, "lock_subscriptions", subscriptions),
        (charging, "lock_periods", periods),
        (balances, "lock_subscriptions", subscriptions),
    ]
    before = [getattr(module, name) for module, name, _ in kept]
    for module, name, instead in kept:
        setattr(module, name, instead)
    try:
        yield
    finally:
        for (module, name, _), original in zip(kept, before, strict=True):
            setattr(module, name, original)
