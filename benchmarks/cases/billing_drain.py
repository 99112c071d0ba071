"""Throughput of `run_billing` on a full stream, compared with slower methods and a bare COPY."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack
from billing.redis_keys import USAGE_STREAM
from config.redis import keys

ACCOUNTS = (1, 5, 100)
EVENTS = 10_000
TARGET_RATE = 6_000
TARGET_STATEMENTS = 0.05
BATCH = 500


@benchmark("billing_drain")
def billing_drain(size: Size) -> Iterator[Figure]:
    rounds = size.pick(2, 5)
    with launched_stack() as stack, stack.redis as redis:
        from benchmarks.factories import make_accounts
        from billing.subscriptions import ensure_subscriptions

        users = [account.user_id for account in make_accounts(max(ACCOUNTS))]
        ensure_subscriptions(users)
        one_by_one = best(rate(row_at_a_time, users[:5], size.pick(300, 3000)) for _ in range(rounds))
        limit = best(rate(raw_copy, users, EVENTS) for _ in range(rounds))
        for count in ACCOUNTS:
            drained = [drain(redis, users[:count]) for _ in range(rounds)]
            name = f"billing_drain.{count}"
            fastest = max(drained)
            yield Figure(f"{name}.rate", fastest[0], "events/s", "higher", TARGET_RATE, one_by_one, limit)
            yield Figure(f"{name}.statements", fastest[1], "each", "lower", TARGET_STATEMENTS)
            yield Figure(f"{name}.cpu", fastest[2] * 1e6, "us/event", "lower")
        by_account = best(rate(account_by_account, users, EVENTS // 2) for _ in range(rounds))
        yield Figure("billing_drain.fallback.100", by_account, "events/s", "higher", None, one_by_one, limit)


def drain(redis: Any, users: Sequence[int]) -> tuple[float, float, float]:
    """Drain a full stream; return events per second, and statements and CPU seconds per event."""
    from billing.usage.consumer import BillingHandler
    from config.streams import StopFlag, StreamConsumer

    publish(redis, users, EVENTS)
    consumer = StreamConsumer(BillingHandler(), redis)
    with counted() as statements:
        begun, used = time.perf_counter(), time.process_time()
        consumer.run(StopFlag(), drain=True)
        seconds, used = time.perf_counter() - begun, time.process_time() - used
    return EVENTS / seconds, len(statements) / EVENTS, used / EVENTS


def publish(redis: Any, users: Sequence[int], count: int) -> None:
    """Add entries and reserve their cost, as FINALIZE does."""
    for begun in range(0, count, 1000):
        with redis.pipeline(transaction=False) as pipe:
            for number in range(begun, min(begun + 1000, count)):
                pipe.xadd(USAGE_STREAM, fields(users[number % len(users)], number))
                pipe.hincrby(keys.reserved(users[number % len(users)]), "standard", 200)
            pipe.execute()


def fields(user_id: int, number: int) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "user": user_id,
        "chars": 200,
        "multiplier_bp": 10_000,
        "cost": 200,
        "usage_type": "standard",
        "billable": 1,
        "hash": uuid.uuid4().hex * 2,
        "model": "hibari",
        "voice": f"voice-{number % 5}",
        "document": "6f2ab7c4-3a51-4a2e-9d7e-0a4f4c1f2b11",
        "duration_ms": 5400,
        "created_ms": int(time.time() * 1000),
    }


def events(users: Sequence[int], count: int) -> list[Any]:
    from billing.usage.events import UsageEvent

    entries = (fields(users[number % len(users)], number) for number in range(count))
    return [
        UsageEvent.from_fields({name.encode(): str(value).encode() for name, value in entry.items()})
        for entry in entries
    ]


def rate(charge: Callable[[Sequence[Any]], None], users: Sequence[int], count: int) -> float:
    batch = events(users, count)
    begun = time.perf_counter()
    charge(batch)
    return count / (time.perf_counter() - begun)


def best(rates: Iterator[float]) -> float:
    return max(rates)


def row_at_a_time(usage: Sequence[Any]) -> None:
    """One transaction per event."""
    from billing.usage.recording import record_usage

    for event in usage:
        record_usage([event])


def account_by_account(usage: Sequence[Any]) -> None:
    """One transaction per account, the fallback for a batch that the database refuses as a whole."""
    from billing.usage.recording import charge_batch

    for first in range(0, len(usage), BATCH):
        by_account: dict[int, list[Any]] = {}
        for event in usage[first : first + BATCH]:
            by_account.setdefault(event.user_id, []).append(event)
        for account_events in by_account.values():
            charge_batch(account_events)


def raw_copy(usage: Sequence[Any]) -> None:
    """COPY of the rows alone into a table like the ledger: the limit of PostgreSQL and its driver."""
    from django.db import connection, transaction

    from billing.usage.ledger import Row, usage_row
    from billing.waterfall import Parts

    rows = [usage_row(event, Parts(from_subscription=event.cost)) for event in usage]
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS raw (LIKE billing_ledgerentry INCLUDING ALL)")
        for begun in range(0, len(rows), BATCH):
            with transaction.atomic(), cursor.copy(f"COPY raw ({', '.join(Row._fields)}) FROM STDIN") as copy:
                for row in rows[begun : begun + BATCH]:
                    copy.write_row(row)


@contextmanager
def counted() -> Iterator[list[str]]:
    """Statements of the block, including the COPY of each batch, which Django's query wrappers do not see."""
    from django.db import connection

    from billing.usage import ledger

    statements: list[str] = []
    insert = ledger.insert

    def record(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    def record_insert(rows: Any) -> None:
        statements.append("COPY")
        insert(rows)

    ledger.insert = record_insert
    try:
        with connection.execute_wrapper(record):
            yield statements
    finally:
        ledger.insert = insert
