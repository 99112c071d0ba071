"""Cached balances: reads per message, and delay until all sockets act on a change."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.closed_loop import percentile
from benchmarks.query_counts import log_statements, recorded
from benchmarks.raw_sockets import RawClient, connected_client
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack
from config.local.program import free_port
from tests.stack import Stack
from yapit.load import Listener

SERVERS = ("uvicorn", "daphne")
SOCKETS = 4  # over two web processes
MESSAGES = 64
HIGH_LIMIT = 1_000_000
REARMED_SECONDS = 0.3  # until all sockets have received the raised limit


@benchmark("credit_reads")
def credit_reads(size: Size) -> Iterator[Figure]:
    """Eight new blocks per message of an account with a limit. Baseline: the balance read for each block."""
    with launched_stack() as stack:
        log_statements()
        account, listener = limited(MESSAGES * 8)
        stack.start_web("uvicorn")
        with connected_client(stack.url, listener) as client, recorded(stack) as queries:
            for first in range(0, MESSAGES * 8, 8):
                client.request(range(first, first + 8), status=b"queued")
        reads = sum("standard_limit" in text for text in queries.statements)
        each_time = uncached_reads(account, MESSAGES)
        yield Figure(
            "credit_reads.reads", reads / MESSAGES, "per message", "lower", baseline=each_time / MESSAGES
        )
        yield Figure("credit_reads.saved", 100 - 100 * reads / each_time, "%", "higher", target=95.0)
        checks = [text for text in queries.statements if "yapit_block" not in text]
        yield Figure(
            "credit_reads.checks", len(checks) / (MESSAGES * 8), "statements/block", "lower", target=0.1
        )


def uncached_reads(account: int, times: int) -> int:
    """Statements for uncached reads of the balance."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from billing.plans.allowance import allowance

    with CaptureQueriesContext(connection) as queries:
        for _ in range(times):
            allowance(account, "standard")
    return len(queries)


@benchmark("credit_invalidation")
def credit_invalidation(size: Size) -> Iterator[Figure]:
    """From the change until the last of four sockets receives it; also after an outage of Valkey."""
    with launched_stack() as stack:
        account, listener = limited(SOCKETS)
        for server in SERVERS:
            name = f"credit_invalidation.{server}"
            other = start_two(stack, server)
            with contextlib.ExitStack() as ending:
                urls = (stack.url, stack.url, other, other)
                clients = [ending.enter_context(connected_client(url, listener)) for url in urls]
                for index, client in enumerate(clients):
                    client.request([index], status=b"queued")
                waits = [use_up(account, clients) for _ in range(size.pick(20, 100))]
                yield Figure(f"{name}.p50", median(waits) * 1000, "ms", "lower")
                yield Figure(f"{name}.p99", percentile(waits, 99) * 1000, "ms", "lower", target=500.0)
                waits = [use_up_after_restart(stack, account, clients) for _ in range(size.pick(2, 5))]
                yield Figure(f"{name}.after_restart", max(waits) * 1000, "ms", "lower", target=5000.0)
            stack.stop("web-1")
            stack.stop("web")


def limited(blocks: int) -> tuple[int, Listener]:
    """An account with a high limit, and its listener."""
    from benchmarks import cached_audio
    from billing.subscriptions import ensure_subscriptions
    from yapit.models import Document

    [listener] = cached_audio.listeners(1, blocks)
    account = Document.objects.get(pk=listener.document_id).owner_id
    ensure_subscriptions([account])
    set_limit(account, HIGH_LIMIT)
    return account, listener


def set_limit(account: int, characters: int) -> None:
    from billing.plans import balances

    balances.set_limits(account, standard=characters, premium=0)


def start_two(stack: Stack, server: str) -> str:
    """Start two web processes; return the address of the second."""
    port, first = free_port(), stack.port
    stack.start_web(server)
    stack.port = port
    stack.start_web(server, name="web-1")
    other, stack.port = stack.url, first
    return other


def use_up(account: int, clients: Sequence[RawClient]) -> float:
    """Seconds until each socket has received that almost nothing is left."""
    set_limit(account, HIGH_LIMIT)
    time.sleep(REARMED_SECONDS)
    begun = time.perf_counter()
    set_limit(account, 1)
    return seconds_until_received(clients, begun)


def use_up_after_restart(stack: Stack, account: int, clients: Sequence[RawClient]) -> float:
    """As use_up, but the change happens while Valkey is down; seconds since it is up again."""
    set_limit(account, HIGH_LIMIT)
    time.sleep(REARMED_SECONDS)
    stack.kill_valkey()
    set_limit(account, 1)
    stack.start_valkey()
    return seconds_until_received(clients, time.perf_counter())


def seconds_until_received(clients: Sequence[RawClient], begun: float) -> float:
    for client in clients:
        client.read_until(b"usage_threshold")
    return time.perf_counter() - begun
