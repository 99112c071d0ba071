"""Concurrent writers on one account: lost updates and deadlocks with, without and with a late lock."""

import time
from collections.abc import Iterator

from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack


@benchmark("billing_writers")
def billing_writers(size: Size) -> Iterator[Figure]:
    operations = size.pick(100, 2_000)
    with launched_stack():
        from tests.billing.usage import writers
        from tests.billing.usage_events import make_account

        begun = time.perf_counter()
        locked = writers.write_at_once(make_account(premium_limit=20_000), operations, writers.random_change)
        rate = 4 * operations / (time.perf_counter() - begun)
        with writers.without_the_lock():
            unlocked = writers.write_at_once(make_account(premium_limit=20_000), 50, writers.random_change)
        last = writers.write_at_once(make_account(premium_limit=0), 10, writers.with_the_lock_last)
        yield Figure("billing_writers.drift", locked.drift, "characters", "lower", 0, unlocked.drift)
        yield Figure("billing_writers.deadlocks", locked.deadlocks, "each", "lower", 0, last.deadlocks)
        yield Figure("billing_writers.rate", rate, "changes/s", "higher")
