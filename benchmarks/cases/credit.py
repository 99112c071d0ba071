"""How seldom a balance is read, and how soon everybody acts on a change of it."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.closed_loop import percentile
from benchmarks.query_counts import watched, write_down_statements
from benchmarks.raw_sockets import Asker, asking
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack
from config.local.program import free_port
from tests.stack import Stack
from yapit.load.generator import Listener

SERVERS = ("uvicorn", "daphne")
SOCKETS = 4  # over two web processes
MESSAGES = 64
PLENTY = 1_000_000
REARMED_SECONDS = 0.3  # until all have heard that there is plenty again


@benchmark("credit_reads")
def credit_reads(size: Size) -> Iterator[Figure]:
    """An account with a limit, eight new blocks in a message. Baseline: a look at the balance for each."""
    with launched_stack() as stack:
        write_down_statements()
        account, listener = limited(MESSAGES * 8)
        stack.start_web("uvicorn")
        with asking(stack.url, listener) as asker, watched(stack) as asked:
            for first in range(0, MESSAGES * 8, 8):
                asker.ask(range(first, first + 8), status=b"queued")
        reads = sum("standard_limit" in text for text in asked.statements)
        each_time = looks_at_the_balance(account, MESSAGES)
        yield Figure(
            "credit_reads.reads", reads / MESSAGES, "per message", "lower", baseline=each_time / MESSAGES
        )
        yield Figure("credit_reads.saved", 100 - 100 * reads / each_time, "%", "higher", target=95.0)
        checks = [text for text in asked.statements if "yapit_block" not in text]
        yield Figure(
            "credit_reads.checks", len(checks) / (MESSAGES * 8), "statements/block", "lower", target=0.1
        )


def looks_at_the_balance(account: int, times: int) -> int:
    """Statements for it when nothing is remembered."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from billing.plans.allowance import allowance

    with CaptureQueriesContext(connection) as asked:
        for _ in range(times):
            allowance(account, "standard")
    return len(asked)


@benchmark("credit_invalidation")
def credit_invalidation(size: Size) -> Iterator[Figure]:
    """From before the change until the last of four sockets is told; also where Valkey was away."""
    with launched_stack() as stack:
        account, listener = limited(SOCKETS)
        for server in SERVERS:
            name = f"credit_invalidation.{server}"
            other = start_two(stack, server)
            with contextlib.ExitStack() as ending:
                urls = (stack.url, stack.url, other, other)
                askers = [ending.enter_context(asking(url, listener)) for url in urls]
                for index, asker in enumerate(askers):
                    asker.ask([index], status=b"queued")
                waits = [use_up(account, askers) for _ in range(size.pick(20, 100))]
                yield Figure(f"{name}.p50", median(waits) * 1000, "ms", "lower")
                yield Figure(f"{name}.p99", percentile(waits, 99) * 1000, "ms", "lower", target=500.0)
                waits = [use_up_after_restart(stack, account, askers) for _ in range(size.pick(2, 5))]
                yield Figure(f"{name}.after_restart", max(waits) * 1000, "ms", "lower", target=5000.0)
            stack.stop("web-1")
            stack.stop("web")


def limited(blocks: int) -> tuple[int, Listener]:
    """An account with plenty that has a limit, and its listener."""
    from benchmarks import cached_audio
    from billing.subscriptions import ensure_subscriptions
    from yapit.models import Document

    [listener] = cached_audio.listeners(1, blocks)
    account = Document.objects.get(pk=listener.document_id).owner_id
    ensure_subscriptions([account])
    set_limit(account, PLENTY)
    return account, listener


def set_limit(account: int, characters: int) -> None:
    from billing.plans import balances

    balances.set_limits(account, standard=characters, premium=0)


def start_two(stack: Stack, server: str) -> str:
    """The address of the second."""
    port, first = free_port(), stack.port
    stack.start_web(server)
    stack.port = port
    stack.start_web(server, name="web-1")
    other, stack.port = stack.url, first
    return other


def use_up(account: int, askers: Sequence[Asker]) -> float:
    """Seconds until each of them was told that next to nothing is left."""
    set_limit(account, PLENTY)
    time.sleep(REARMED_SECONDS)
    begun = time.perf_counter()
    set_limit(account, 1)
    return told(askers, begun)


def use_up_after_restart(stack: Stack, account: int, askers: Sequence[Asker]) -> float:
    """The change comes while Valkey is away, so that nobody can be told; seconds since it is back."""
    set_limit(account, PLENTY)
    time.sleep(REARMED_SECONDS)
    stack.kill_valkey()
    set_limit(account, 1)
    stack.start_valkey()
    return told(askers, time.perf_counter())


def told(askers: Sequence[Asker], begun: float) -> float:
    for asker in askers:
        asker.hear(b"usage_threshold")
    return time.perf_counter() - begun
