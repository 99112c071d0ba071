"""Batches of the persister, compared with raw SQLite, and in growing files with the former design."""

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.audio_files import BYTES, PutFactory, audio_file, fill
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.single_row_cache import SingleRowCache
from config.database.sqlite import sqlite3

ROWS = 200
INSERTS, TOUCHES = 40, 200
HOUR = 3600.0


@benchmark("audio_batch")
def audio_batch(size: Size) -> Iterator[Figure]:
    """Alternates between the two, so that other load on the disk affects both."""
    factory = PutFactory()
    with audio_file() as path:
        from audiocache.sqlite import SqliteStore

        with closing(SqliteStore(path, 10**12)) as store, closing(raw_file(path.with_name("raw"))) as raw:
            store.open_writer()
            batches, raw_batches = [], []
            for _ in range(size.pick(10, 60)):
                puts = factory.puts(ROWS)
                raw_batches.append(seconds(lambda puts=puts: insert_raw(raw, puts)))
                batches.append(seconds(lambda puts=puts: store.write_batch(puts, [])))
    # The first ones grow the empty files.
    rate, raw_rate = ROWS / median(batches[1:]), ROWS / median(raw_batches[1:])
    yield Figure("audio_batch.rows", rate, "rows/s", "higher", limit=raw_rate)
    yield Figure("audio_batch.share_of_raw", rate / raw_rate, "of 1", "higher", target=0.85)


@benchmark("audio_growth")
def audio_growth(size: Size) -> Iterator[Figure]:
    small, large = 1000, size.pick(5000, 50_000)
    new, old = {}, {}
    with audio_file() as path:
        for count in (small, large):
            new[count] = store_batch(path.with_name(f"store-{count}.sqlite3"), path, count)
            old[count] = old_batch(path.with_name(f"old-{count}"), count)
            name = f"audio_growth.{count}"
            yield Figure(f"{name}.batch", new[count] * 1000, "ms", "lower", baseline=old[count][0] * 1000)
            yield Figure(f"{name}.old_burst", old[count][1] * 1000, "ms", "lower")
    yield Figure(
        "audio_growth.growth",
        new[large] / new[small],
        "times",
        "lower",
        target=1.5,
        baseline=old[large][0] / old[small][0],
    )


def store_batch(path: Path, empty: Path, count: int) -> float:
    """Seconds of a batch of 40 inserts, 200 touches and eviction in a full file."""
    from audiocache import aliases
    from audiocache.orders import Kind, Order
    from audiocache.sqlite import SqliteStore

    path.write_bytes(empty.read_bytes())
    factory, now = PutFactory(), [time.time()]
    with closing(SqliteStore(path, count * BYTES, clock=lambda: now[0])) as store:
        store.open_writer()
        keys = [put.key for put in fill(store, factory, count)]
        now[0] += HOUR

        def batch() -> None:
            now[0] += 1
            touched = random.sample(keys, TOUCHES)
            order = Order(aliases.AUDIO, Kind.TOUCH, touched, [int(now[0] * 1000)])
            store.write_batch(factory.puts(INSERTS), [order])

        taken = [seconds(batch) for _ in range(12)]
        path.unlink()
    return median(taken[2:])  # from here on batches also delete what was marked


def old_batch(path: Path, count: int) -> tuple[float, float]:
    """The same in the former design, and a burst of 40 results with a commit each."""
    audio = secrets.token_bytes(BYTES)
    with closing(SingleRowCache(path, count * BYTES)) as cache:
        keys = [secrets.token_hex(32) for _ in range(count)]
        for start in range(0, count, 200):
            cache.fill([(key, audio) for key in keys[start : start + 200]])

        def new(number: int) -> list[tuple[str, bytes]]:
            return [(secrets.token_hex(32), audio) for _ in range(number)]

        batches = [seconds(lambda: cache.store(new(INSERTS), random.sample(keys, TOUCHES))) for _ in range(5)]
        burst = seconds(lambda: [cache.store(new(1), []) for _ in range(INSERTS)])
    path.unlink()
    return median(batches), burst


def raw_file(path: Path) -> sqlite3.Connection:
    """A plain table: no totals, no index by age, no limit."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("""
        PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE TABLE row (id INTEGER PRIMARY KEY, key BLOB UNIQUE, size, sha256, meta, data BLOB);
    """)
    return db


def insert_raw(db: sqlite3.Connection, puts: list[Any]) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "INSERT INTO row (key, size, sha256, meta, data) VALUES (?, ?, ?, ?, ?)",
        [(put.key, len(put.audio), put.sha256, put.meta, put.audio) for put in puts],
    )
    db.execute("COMMIT")


def seconds(function: Callable[[], object]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun
