"""Audio store and diskcache: four processes, 90 % get and 10 % set of 100 KB.

diskcache (Apache-2.0) keeps values of this size in files; `sqlite_synchronous=2` is `FULL`, but the files are
neither synced nor verified. The audio store, written through Redis and run_persister, has values on disk when
they count as stored, and each get verifies the checksum. Both read files in the calling process.
"""

import multiprocessing
import random
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import diskcache
from redis import Redis

from benchmarks.audio_files import BYTES, PutFactory
from benchmarks.closed_loop import percentile
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack, wait_for_quiet
from tests.stack import Stack

PROCESSES = 4
KEYS = 500  # stored at the start
SETS_OF_TEN = 1
UNPERSISTED_BYTES = 64 * 1024 * 1024  # limit above which setters wait, as with ENQUEUE

_context = multiprocessing.get_context("spawn")
Outcome = tuple[list[float], int, float]  # seconds of each get, number of sets, start time


@benchmark("audio_beside_diskcache")
def audio_beside_diskcache(size: Size) -> Iterator[Figure]:
    seconds = size.pick(3.0, 20.0)
    names = [secrets.token_hex(32) for _ in range(KEYS)]
    with launched_stack(AUDIO_LIMIT_MB="8192") as stack:
        others = {
            kind.__name__: run_diskcache(stack.folder / kind.__name__, kind, names, seconds)
            for kind in (diskcache.Cache, diskcache.FanoutCache)
        }
        p99, rate = run_store(stack, names, seconds)
    for name, (their_p99, their_rate) in others.items():
        name = f"audio_beside_diskcache.{name}"
        yield Figure(f"{name}.get_p99", p99, "ms", "lower", their_p99, baseline=their_p99)
        yield Figure(f"{name}.sets", rate, "sets/s", "higher", their_rate, baseline=their_rate)


def run_diskcache(folder: Path, kind: Any, names: list[str], seconds: float) -> tuple[float, float]:
    with kind(str(folder), sqlite_synchronous=2, size_limit=2**34) as cache:
        audio = secrets.token_bytes(BYTES)
        for name in names:
            cache.set(name, audio)
    gets, sets, _ = run_concurrently(use_diskcache, (str(folder), kind.__name__, names, seconds))
    shutil.rmtree(folder)
    return percentile(gets, 99) * 1000, sets / seconds


def run_store(stack: Stack, names: list[str], seconds: float) -> tuple[float, float]:
    """Values count as set when they are in SQLite, so the time includes that of the persister."""
    stack.start("persister", "run_persister")
    setter = Setter(stack.valkey.url)
    for name in names:
        setter.put(name)
    wait_for_quiet(stack)
    gets, sets, begun = run_concurrently(use_store, (stack.valkey.url, names, seconds))
    wait_for_quiet(stack)
    return percentile(gets, 99) * 1000, sets / (time.monotonic() - begun)


def run_concurrently(use: Callable[..., None], arguments: tuple[Any, ...]) -> Outcome:
    """Run `use` in four processes that begin together, and combine their outcomes."""
    done: Queue[Outcome] = _context.Queue()
    start = _context.Barrier(PROCESSES)
    processes = [_context.Process(target=use, args=(*arguments, start, done)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    outcomes = [done.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    return (
        [one for gets, _, _ in outcomes for one in gets],
        sum(sets for _, sets, _ in outcomes),
        min(begun for _, _, begun in outcomes),
    )


def mix(
    get: Callable[[str], object], put: Callable[[str], object], names: list[str], seconds: float, start: Any
) -> Outcome:
    gets, sets = [], 0
    start.wait(60)
    begun = time.monotonic()
    while (now := time.monotonic()) < begun + seconds:
        if random.randrange(10) < SETS_OF_TEN:
            put(secrets.token_hex(32))
            sets += 1
            continue
        if not get(random.choice(names)):
            raise RuntimeError("a value is missing")
        gets.append(time.monotonic() - now)
    return gets, sets, begun


def use_diskcache(folder: str, kind: str, names: list[str], seconds: float, start: Any, done: Any) -> None:
    audio = secrets.token_bytes(BYTES)
    with getattr(diskcache, kind)(folder, sqlite_synchronous=2, size_limit=2**34, timeout=60) as cache:
        done.put(mix(cache.get, lambda name: cache.set(name, audio), names, seconds, start))


def use_store(url: str, names: list[str], seconds: float, start: Any, done: Any) -> None:
    import django

    django.setup()
    from audiocache import aliases
    from audiocache.store import store_for

    done.put(mix(store_for(aliases.AUDIO).get, Setter(url).put, names, seconds, start))


class Setter:
    """Stores audio in Redis as FINALIZE does."""

    def __init__(self, url: str) -> None:
        factory = PutFactory()
        self.blob = factory.header + factory.audio
        self.redis = Redis.from_url(url, single_connection_client=True)
        self.unpersisted = 0

    def put(self, name: str) -> None:
        while self.unpersisted > UNPERSISTED_BYTES:
            time.sleep(0.005)
            self.unpersisted = int(self.redis.get("unpersisted") or 0)
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.set(f"audio:{name}", self.blob)
            pipe.xadd("persist", {"hash": name, "alias": "audio", "size": len(self.blob), "job": b""})
            pipe.incrby("unpersisted", len(self.blob))
            self.unpersisted = pipe.execute()[-1]
