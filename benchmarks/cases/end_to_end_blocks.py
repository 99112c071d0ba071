"""End to end, from request to `cached`, with an instant engine: 1 to 200 listeners, 8 blocks at a time.

All processes run, including the cold consumers, and two workers, since one alone mostly waits for Valkey when
jobs take no time. 100 KB per block, none cached; each listener has its own account and document.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import closed_loop
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import (
    cpu_by_process,
    launched_stack,
    running_server,
    wait_for_quiet,
    wait_until_idle,
)
from tests.stack import Stack
from yapit.load import Listener, Measurements, run_closed_loop

BLOCKS = 40
BYTES = 100_000
TARGETS = {1: ("p50", 25.0), 50: ("p99", 500.0)}  # ms, by listeners
RATE_TARGET = 800.0  # blocks/s, from 50 listeners on
STUB_LISTENER = Listener("", "00000000-0000-0000-0000-000000000000", 10 * BLOCKS)


@dataclass(frozen=True, slots=True)
class Round:
    measurements: Measurements
    cpu: Counter[str]  # seconds by process


class Runs:
    """Consecutive rounds on one stack."""

    def __init__(self, stack: Stack) -> None:
        from benchmarks.factories import make_accounts

        self.stack = stack
        self.accounts = make_accounts(200)

    def run(self, count: int, blocks: int, *, is_batched: bool = False) -> Round:
        listeners = [self._listener(number, blocks) for number in range(count)]
        before = cpu_by_process(self.stack)
        measurements = asyncio.run(run_closed_loop(self.stack.url, listeners, is_batched=is_batched))
        wait_for_quiet(self.stack)
        if measurements.errors:
            raise RuntimeError(f"not spoken: {measurements.errors}")
        return Round(measurements, cpu_by_process(self.stack) - before)

    def _listener(self, number: int, blocks: int) -> Listener:
        from benchmarks.factories import make_document

        account = self.accounts[number]
        texts = [f"Benchmark block number {index}, {secrets.token_hex(16)}." for index in range(blocks)]
        return Listener(account.token, make_document(account, texts), blocks, "tone", "instant")


@benchmark("end_to_end_blocks")
def end_to_end_blocks(size: Size) -> Iterator[Figure]:
    with launched_stack() as stack:
        limits = {count: raw_sets(stack, count) for count in (1, 5, 50)}
        limits[200] = limits[50]
        yield Figure("end_to_end_blocks.engine_alone", engine_alone(), "calls/s", "higher")
        yield Figure("end_to_end_blocks.generator_alone", generator_alone(), "blocks/s", "higher")
        from benchmarks.factories import switch_on

        switch_on("tone")
        stack.start_all("tone", server="uvicorn")
        stack.start("worker-1", "run_worker", "--model", "tone")
        wait_until_idle(stack)
        runs = Runs(stack)
        runs.run(5, BLOCKS)  # warm-up
        for count in (1, 5, 50, 200):
            yield from measure(runs, "uvicorn", count, size, limits[count])
        stack.stop("web")
        stack.start_web("daphne")
        runs.run(5, BLOCKS)
        for count in size.pick((50,), (1, 5, 50, 200)):
            yield from measure(runs, "daphne", count, size, limits[count])


def measure(runs: Runs, server: str, count: int, size: Size, limit: float) -> Iterator[Figure]:
    """Few listeners several times, for enough values; at short size 200 listeners request 16 blocks each."""
    times = max(1, 5 // count) * size.pick(1, 3)
    blocks = size.pick(16 if count > 50 else BLOCKS, BLOCKS)
    rounds = [runs.run(count, blocks) for _ in range(times)]
    return figures(f"end_to_end_blocks.{server}.{count}", count, rounds, limit)


def figures(name: str, count: int, rounds: Sequence[Round], limit: float) -> Iterator[Figure]:
    all_rounds = Measurements(cached=[wait for one in rounds for wait in one.measurements.cached])
    blocks = len(all_rounds.cached)
    rate = median(one.measurements.rate for one in rounds)
    target = RATE_TARGET if count >= 50 else None
    yield Figure(f"{name}.rate", rate, "blocks/s", "higher", target=target, limit=limit)
    for percent in (50, 99):
        known, milliseconds = TARGETS.get(count, ("", 0.0))
        target = milliseconds if known == f"p{percent}" else None
        yield Figure(f"{name}.p{percent}", all_rounds.milliseconds(percent), "ms", "lower", target=target)
    cpu = sum((one.cpu for one in rounds), Counter[str]())
    if all_servers := cpu.total():
        yield Figure(f"{name}.cpu", all_servers * 1000 / blocks, "ms/block", "lower")
    cpu["generator"] = sum(one.measurements.cpu_seconds for one in rounds)
    for process, seconds in sorted(cpu.items()):
        yield Figure(f"{name}.cpu.{process}", seconds * 1000 / blocks, "ms/block", "lower")
    if refused := sum(one.measurements.refused for one in rounds):
        yield Figure(f"{name}.refused", refused, "blocks", "lower")


# --- Limits ---------------------------------------------------------------------------------------------


def raw_sets(stack: Stack, connections: int) -> float:
    """SET of the same number of bytes, with the append-only file of the stack."""
    password = stack.valkey.password.encode()
    audio = secrets.token_bytes(BYTES)
    keys = [f"limit:{number}".encode() for number in range(connections)]
    result = closed_loop.drive(
        ("127.0.0.1", stack.valkey.port),
        [closed_loop.redis_command(b"SET", key, audio, b"EX", b"60") for key in keys],
        closed_loop.redis_ok,
        seconds=1.0,
        greeting=closed_loop.redis_command(b"AUTH", password),
    )
    with stack.redis as redis:
        redis.delete(*keys)
    return result.rate


def engine_alone() -> float:
    from yapit.engines import read_stream
    from yapit.engines.tone import ToneEngine

    engine = ToneEngine("tone")
    engine.warm()
    begun = time.perf_counter()
    count = 500
    for number in range(count):
        read_stream(engine.synthesize(f"Benchmark block number {number}.", "instant", {}))
    return count / (time.perf_counter() - begun)


def generator_alone() -> float:
    """The rate against a server that answers at once: the limit of the generator."""
    with running_server("benchmarks.stub_server", "sockets") as url:
        return asyncio.run(run_closed_loop(url, [STUB_LISTENER] * 50)).rate
