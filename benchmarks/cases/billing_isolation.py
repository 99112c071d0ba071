"""Requests while `run_billing` drains: how long they take, and whether anybody waits for a lock."""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.cases.billing_drain import publish
from benchmarks.closed_loop import percentile
from benchmarks.raw_sockets import asking
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack
from tests.stack import Stack
from tests.waiting import wait_until
from yapit.load.generator import Listener

TARGET_MORE_MS = 5.0
EVERY = 0.01  # seconds between requests
OF_A_CONNECTION = 100
SETTLED_SECONDS = 60
WATCHED_EVERY = 0.02
ACCOUNTS = 20
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@benchmark("billing_beside")
def billing_beside(size: Size) -> Iterator[Figure]:
    """New blocks, one in a message, of an account with a limit whose use is charged meanwhile.

    Baseline: the same while nothing is charged.
    """
    requests, events = size.pick((300, 50_000), (1500, 200_000))
    with launched_stack() as stack:
        from benchmarks import cached_audio
        from benchmarks.factories import make_accounts
        from billing.plans import balances
        from billing.subscriptions import ensure_subscriptions
        from yapit.models import Document

        [listener] = cached_audio.listeners(1, 2 * requests)
        account = Document.objects.get(pk=listener.document_id).owner_id
        users = [account, *(other.user_id for other in make_accounts(ACCOUNTS - 1))]
        ensure_subscriptions(users)
        balances.set_limits(account, standard=10**9, premium=0)
        stack.start_web("uvicorn")
        with stack.redis as redis:
            publish(redis, users, events)  # beforehand: this process must have nothing else to do
        wait_until(lambda: answers(stack, listener), SETTLED_SECONDS)
        idle = list(asked(stack, listener, range(1, requests)))
        with stack.redis as redis:
            stack.start("billing", "run_billing")
            wait_until(lambda: redis.xlen("billing") < events)
            with lock_waits() as waits:
                busy = list(while_it_drains(redis, asked(stack, listener, range(requests, 2 * requests))))
        for percent in (50, 99):
            taken, before = percentile(busy, percent), percentile(idle, percent)
            yield Figure(f"billing_beside.p{percent}", taken, "ms", "lower", None, before)
        more = percentile(busy, 99) - percentile(idle, 99)
        yield Figure("billing_beside.p99_more", more, "ms", "lower", TARGET_MORE_MS)
        yield Figure("billing_beside.lock_waits", sum(waits), "each", "lower", 0)


def asked(stack: Stack, listener: Listener, indices: range) -> Iterator[float]:
    """Milliseconds until each was queued, but for the first of a connection, which looks its listener up.

    A connection for some at a time: nobody here answers the server's pings.
    """
    for first in range(0, len(indices), OF_A_CONNECTION):
        with asking(stack.url, listener) as asker:
            for number, index in enumerate(indices[first : first + OF_A_CONNECTION]):
                time.sleep(EVERY)
                seconds = asker.ask([index], status=b"queued")
                if number:
                    yield seconds * 1000


def answers(stack: Stack, listener: Listener) -> bool:
    """Whether Valkey has written down what was published; until then it may be too slow to answer."""
    try:
        with asking(stack.url, listener) as asker:
            return asker.ask([0], status=b"queued") < 1
    except ConnectionError:
        return False


def while_it_drains(redis: Any, taken: Iterable[float]) -> Iterator[float]:
    for milliseconds in taken:
        yield milliseconds
        if not redis.xlen("billing"):
            return


@contextlib.contextmanager
def lock_waits() -> Iterator[list[int]]:
    """How many wait for a lock, again and again while the block runs."""
    from django.db import connection

    stop, seen = threading.Event(), list[int]()

    def watch() -> None:
        try:
            with connection.cursor() as cursor:
                while not stop.wait(WATCHED_EVERY):
                    cursor.execute(WAITING)
                    seen.append(cursor.fetchone()[0])
        finally:
            connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
