"""Blocks per second from request to `cached`, and with the audio fetched: tone engine, 100 KB, none cached.

All processes run, the cold consumers too, and two workers: where a job takes no time, one alone mostly waits
for Valkey's answers. Each listener has an account and a document of its own.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks import closed_loop
from benchmarks.closed_loop import percentile
from benchmarks.listeners import Listener, Played, play
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import beside, cpu_seconds, launched_stack, wait_for_quiet
from tests.stack import Stack

BLOCKS = 40
BYTES = 100_000
LISTENERS = (1, 5, 50)
NOTHING = Listener("", "00000000-0000-0000-0000-000000000000", BLOCKS, "tone", "instant")


@dataclass(frozen=True, slots=True)
class Limits:
    sets: dict[int, float]  # of 100 KB into the stack's own Valkey, by connections
    engine: float  # calls per second of one process
    generator: float  # blocks per second against the stub, at most listeners


@benchmark("end_to_end_blocks")
def end_to_end_blocks(size: Size) -> Iterator[Figure]:
    with launched_stack() as stack:
        sets = {count: raw_sets(stack, count) for count in LISTENERS}
        limits = Limits(sets, engine_alone(), generator_alone())
        yield from limit_figures(limits)
        from benchmarks.making import switch_on

        switch_on("tone")
        stack.start_all("tone")
        stack.start("worker-1", "run_worker", "--model", "tone")
        play_round(stack, 5, fetch=True)  # warms up
        for count in LISTENERS:
            yield from measure(stack, str(count), count, size, limits)
        stack.stop("web")
        stack.start_web("uvicorn")
        play_round(stack, 5, fetch=True)
        yield from measure(stack, f"{max(LISTENERS)}.uvicorn", max(LISTENERS), size, limits)


def measure(stack: Stack, name: str, count: int, size: Size, limits: Limits) -> Iterator[Figure]:
    for fetch in (False, True):
        rounds = [play_round(stack, count, fetch=fetch) for _ in range(rounds_of(count, size))]
        yield from figures(f"end_to_end_blocks.{name}{'.fetched' if fetch else ''}", count, rounds, limits)


def rounds_of(listeners: int, size: Size) -> int:
    """Short: 200 blocks at least."""
    return max(1, 5 // listeners) * size.pick(1, 5)


def play_round(stack: Stack, count: int, *, fetch: bool) -> Played:
    from benchmarks.making import make_accounts, make_document

    listeners = []
    for account in make_accounts(count):
        paragraphs = [
            f"A block of its own, number {index}, {secrets.token_hex(16)}." for index in range(BLOCKS)
        ]
        listeners.append(
            Listener(account.token, make_document(account, paragraphs), BLOCKS, "tone", "instant")
        )
    before = cpu_seconds(stack)
    played = asyncio.run(play(stack.url, listeners, fetch=fetch))
    wait_for_quiet(stack)
    after = cpu_seconds(stack)
    if before is not None and after is not None:
        played.servers_cpu_seconds = after - before
    return played


def figures(name: str, count: int, rounds: list[Played], limits: Limits) -> Iterator[Figure]:
    waits = [wait for played in rounds for wait in (played.heard or played.cached)]
    rate = median(played.rate for played in rounds)
    yield Figure(f"{name}.rate", rate, "blocks/s", "higher", limit=limits.sets[count])
    for percent in (50, 99):
        yield Figure(f"{name}.p{percent}", percentile(waits, percent) * 1000, "ms", "lower")
    generator = sum(played.cpu_seconds for played in rounds)
    yield Figure(f"{name}.generator_cpu", generator * 1000 / len(waits), "ms/block", "lower")
    servers = [played.servers_cpu_seconds for played in rounds if played.servers_cpu_seconds is not None]
    if servers:
        yield Figure(f"{name}.servers_cpu", sum(servers) * 1000 / len(waits), "ms/block", "lower")
    if refused := sum(played.refused for played in rounds):
        yield Figure(f"{name}.told_to_come_back", refused, "blocks", "lower")


def limit_figures(limits: Limits) -> Iterator[Figure]:
    for count, rate in limits.sets.items():
        yield Figure(f"end_to_end_blocks.redis_set.{count}", rate, "sets/s", "higher")
    yield Figure("end_to_end_blocks.engine_alone", limits.engine, "calls/s", "higher")
    yield Figure("end_to_end_blocks.generator_alone", limits.generator, "blocks/s", "higher")


# --- What the machine could do --------------------------------------------------------------------------


def raw_sets(stack: Stack, connections: int) -> float:
    """SET of as many bytes, with the append-only file on as it is for the stack."""
    password = stack.valkey.password.encode()
    audio = secrets.token_bytes(BYTES)
    keys = [f"limit:{number}".encode() for number in range(connections)]
    driven = closed_loop.drive(
        ("127.0.0.1", stack.valkey.port),
        [closed_loop.redis_command(b"SET", key, audio, b"EX", b"60") for key in keys],
        closed_loop.redis_ok,
        seconds=1.0,
        greeting=closed_loop.redis_command(b"AUTH", password),
    )
    with stack.redis as redis:
        redis.delete(*keys)
    return driven.rate


def engine_alone() -> float:
    from yapit.engines.tone import ToneEngine

    engine = ToneEngine("tone")
    engine.warm()
    begun = time.perf_counter()
    count = 500
    for number in range(count):
        engine.synthesize(f"A block of its own, number {number}.", voice="instant", parameters={})
    return count / (time.perf_counter() - begun)


def generator_alone() -> float:
    """Against a server that answers at once: no figure here can be higher."""
    with beside("benchmarks.stub", "sockets") as url:
        return asyncio.run(play(url, [NOTHING] * max(LISTENERS), fetch=False)).rate
