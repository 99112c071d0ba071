"""Reads of 100 KB with verified checksums while another process writes at full speed.

Through the reading threads of a web process; baseline: the former design with one thread for all reads.
"""

import asyncio
import itertools
import multiprocessing
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.audio_files import BYTES, PutFactory, audio_file, fill, hashes_of
from benchmarks.closed_loop import percentile
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.single_row_cache import SingleRowCache

ENTRIES = 1000
LIMIT = 500_000_000
BATCH = 200
_context = multiprocessing.get_context("spawn")


@dataclass(slots=True)
class Read:
    latencies: list[float] = field(default_factory=list)
    errors: int = 0


@benchmark("audio_reads")
def audio_reads(size: Size) -> Iterator[Figure]:
    seconds = size.pick(5.0, 20.0)
    with audio_file() as path:
        old = asyncio.run(read_old(path.with_name("old"), 100, seconds))
        hashes = prepare(path)
        with writing(write_for_ever, path):
            result = uvloop.run(read_store(hashes, 100, seconds))
            yield Figure("audio_reads.100.rate", len(result.latencies) / seconds, "reads/s", "higher")
            yield Figure(
                "audio_reads.100.p99",
                percentile(result.latencies, 99) * 1000,
                "ms",
                "lower",
                target=30,
                baseline=percentile(old.latencies, 99) * 1000,
            )
            yield Figure("audio_reads.100.errors", result.errors, "reads", "lower", target=0)
            many = uvloop.run(read_store(hashes, 500, size.pick(5.0, 60.0)))
            yield Figure("audio_reads.500.p99", percentile(many.latencies, 99) * 1000, "ms", "lower")
            yield Figure("audio_reads.500.errors", many.errors, "reads", "lower", target=0)


def prepare(path: Path) -> list[str]:
    from audiocache import aliases
    from audiocache.orders import Kind, Order
    from audiocache.sqlite import SqliteStore

    with closing(SqliteStore(path, LIMIT)) as store:
        store.open_writer()
        puts = fill(store, PutFactory(), ENTRIES)
        store.write_batch([], [Order(aliases.AUDIO, Kind.PIN, [put.key for put in puts], [0])])
        return hashes_of(puts)


async def read_store(hashes: list[str], concurrent: int, seconds: float) -> Read:
    from audiocache import aliases
    from audiocache.store import store_for
    from yapit.api.audio import ColdReads

    cold = ColdReads(lambda: store_for(aliases.AUDIO))
    return await read(lambda: cold.get(random.choice(hashes)), concurrent, seconds)


async def read_old(path: Path, concurrent: int, seconds: float) -> Read:
    keys, audio = [secrets.token_hex(32) for _ in range(ENTRIES)], secrets.token_bytes(BYTES)
    with closing(SingleRowCache(path)) as cache:
        cache.fill([(key, audio) for key in keys])
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    with closing(SingleRowCache(path, is_new=False)) as cache, writing(write_old_for_ever, path):
        result = await read(
            lambda: loop.run_in_executor(thread, cache.get, random.choice(keys)), concurrent, seconds
        )
        thread.shutdown()
    path.unlink()
    return result


async def read(one: Callable[[], Awaitable[object]], concurrent: int, seconds: float) -> Read:
    result, until = Read(), time.monotonic() + seconds

    async def reader() -> None:
        while time.monotonic() < until:
            begun = time.perf_counter()
            try:
                value = await one()
            except Exception:  # counted as an error
                value = None
            result.latencies.append(time.perf_counter() - begun)
            result.errors += value is None

    await asyncio.gather(*(reader() for _ in range(concurrent)))
    return result


@contextmanager
def writing(write: Callable[[Path], None], path: Path) -> Iterator[None]:
    process = _context.Process(target=write, args=(path,), daemon=True)
    process.start()
    try:
        size = path.stat().st_size
        deadline = time.monotonic() + 30
        while path.stat().st_size == size:  # until the first write
            if time.monotonic() > deadline or not process.is_alive():
                raise RuntimeError("the other process does not write")
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.join()


def write_for_ever(path: Path) -> None:
    import django

    django.setup()
    from audiocache.sqlite import SqliteStore

    factory, hours = PutFactory(), itertools.count()
    # The clock advances by an hour per batch, so that entries can be evicted and the file stays small.
    store = SqliteStore(path, LIMIT, clock=lambda: time.time() + 3600 * next(hours))
    store.open_writer()
    while True:
        store.write_batch(factory.puts(BATCH), [])


def write_old_for_ever(path: Path) -> None:
    cache, audio = SingleRowCache(path, LIMIT, is_new=False), secrets.token_bytes(BYTES)
    while True:
        cache.store([(secrets.token_hex(32), audio)], [])
