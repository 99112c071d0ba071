"""Statistics and verification of audio files, read beside a running service."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from audiocache.blob import is_whole
from audiocache.sqlite.store import SqliteStore

AT_ONCE = 20  # entries in one query: a long one would delay checkpoints of the log

# One statement, so that all values are of one snapshot.
TOTALS = """
SELECT (SELECT bytes FROM stat), (SELECT n FROM stat), (SELECT pinned_bytes FROM stat),
       total(size), count(*), total(size * pinned) FROM entry
"""
NEXT = """
SELECT id, key, size, meta, sha256, data FROM entry LEFT JOIN payload USING (id)
WHERE id > ? ORDER BY id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class FileStats:
    """Statistics of one file. Sizes in bytes."""

    alias: str
    entries: int
    bytes: int
    limit: int
    pinned_bytes: int
    file_bytes: int
    log_bytes: int
    free_bytes: int
    oldest_access: float | None  # seconds since 1970
    set_aside: int  # number of times that a corrupt file was replaced


def file_stats(store: SqliteStore, redis: Redis) -> FileStats:
    stats = store.stats()
    return FileStats(
        store.alias,
        stats.entries,
        stats.bytes,
        stats.limit,
        stats.pinned_bytes,
        _size(store.path),
        _size(store.path.with_name(f"{store.path.name}-wal")),
        store.free_bytes(),
        store.oldest_access(),
        int(redis.get(f"generation:{store.alias}") or 0),
    )


def wrong_totals(store: SqliteStore) -> list[str]:
    """One sentence for each running total that differs from the sum over the entries."""
    names = ("bytes", "entries", "pinned bytes")
    for row in store.rows(TOTALS):
        return [
            f"{name}: the total says {total}, the entries {int(counted)}"
            for name, total, counted in zip(names, row[:3], row[3:], strict=True)
            if total != counted
        ]
    return []


class ThrottledReader:
    """Verifies every entry, reading at a limited rate."""

    def __init__(
        self,
        store: SqliteStore,
        bytes_per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._rate = bytes_per_second
        self._clock = clock
        self._sleep = sleep

    def entries(self) -> Iterator[tuple[str, int, bool]]:
        """Hash, size in bytes, and whether the entry is undamaged."""
        last, read, begun = 0, 0, self._clock()
        while rows := self._store.rows(NEXT, (last, AT_ONCE)):
            for _, key, size, meta, sha256, data in rows:
                yield key.hex(), size, is_whole(meta, sha256, data) and len(data) == size
                read += size
            last = rows[-1][0]
            self._sleep(max(0.0, read / self._rate - (self._clock() - begun)))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
