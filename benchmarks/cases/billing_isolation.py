"""Latency of requests and lock waits while `run_billing` drains a full stream."""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.cases.billing_drain import publish
from benchmarks.closed_loop import percentile
from benchmarks.raw_sockets import connected_client
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack
from tests.stack import Stack
from tests.waiting import wait_until
from yapit.load import Listener

TARGET_MORE_MS = 5.0
INTERVAL = 0.01  # seconds between requests
REQUESTS_PER_CONNECTION = 100
SETTLE_SECONDS = 60
SAMPLE_SECONDS = 0.02
ACCOUNTS = 20
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@benchmark("billing_beside")
def billing_beside(size: Size) -> Iterator[Figure]:
    """One new block per message of an account with a limit, while its usage is charged.

    Baseline: the same requests while nothing is charged.
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
            publish(redis, users, events)  # beforehand, so that this process is idle during the measurement
        wait_until(lambda: answers(stack, listener), SETTLE_SECONDS)
        idle = list(queue_times(stack, listener, range(1, requests)))
        with stack.redis as redis:
            stack.start("billing", "run_billing")
            wait_until(lambda: redis.xlen("billing") < events)
            with lock_waits() as waits:
                busy = list(
                    while_it_drains(redis, queue_times(stack, listener, range(requests, 2 * requests)))
                )
        for percent in (50, 99):
            taken, before = percentile(busy, percent), percentile(idle, percent)
            yield Figure(f"billing_beside.p{percent}", taken, "ms", "lower", None, before)
        more = percentile(busy, 99) - percentile(idle, 99)
        yield Figure("billing_beside.p99_more", more, "ms", "lower", TARGET_MORE_MS)
        yield Figure("billing_beside.lock_waits", sum(waits), "each", "lower", 0)


def queue_times(stack: Stack, listener: Listener, indices: range) -> Iterator[float]:
    """Milliseconds until each block was queued, without the first of a connection, which is authenticated.

    Connections are replaced regularly, because this client does not answer pings.
    """
    for first in range(0, len(indices), REQUESTS_PER_CONNECTION):
        with connected_client(stack.url, listener) as client:
            for number, index in enumerate(indices[first : first + REQUESTS_PER_CONNECTION]):
                time.sleep(INTERVAL)
                seconds = client.request([index], status=b"queued")
                if number:
                    yield seconds * 1000


def answers(stack: Stack, listener: Listener) -> bool:
    """Whether the server answers within a second; while Valkey persists the entries, it may not."""
    try:
        with connected_client(stack.url, listener) as client:
            return client.request([0], status=b"queued") < 1
    except ConnectionError:
        return False


def while_it_drains(redis: Any, taken: Iterable[float]) -> Iterator[float]:
    for milliseconds in taken:
        yield milliseconds
        if not redis.xlen("billing"):
            return


@contextlib.contextmanager
def lock_waits() -> Iterator[list[int]]:
    """Samples of the number of lock waits while the block runs."""
    from django.db import connection

    stop, seen = threading.Event(), list[int]()

    def watch() -> None:
        try:
            with connection.cursor() as cursor:
                while not stop.wait(SAMPLE_SECONDS):
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
