"""Former design of the audio store, as a baseline: one row per entry, a sum over all after each commit."""

import time
from pathlib import Path

from config.database.sqlite import sqlite3

SCHEMA = """
CREATE TABLE cache (
  key TEXT PRIMARY KEY, data BLOB, size INTEGER, created_at REAL, last_accessed REAL, pinned INTEGER DEFAULT 0
);
CREATE INDEX cache_by_age ON cache (last_accessed);
"""


class SingleRowCache:
    def __init__(self, path: Path, limit: int = 10**12, *, is_new: bool = True) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if is_new:
            self._db.executescript(SCHEMA)
        self._limit = limit

    def fill(self, puts: list[tuple[str, bytes]]) -> None:
        self._db.execute("BEGIN")
        self._insert(puts)
        self._db.execute("COMMIT")

    def store(self, puts: list[tuple[str, bytes]], touched: list[str]) -> None:
        """One commit, then eviction."""
        self._db.execute("BEGIN")
        self._insert(puts)
        marks = ",".join("?" * len(touched))
        self._db.execute(
            f"UPDATE cache SET last_accessed = ? WHERE key IN ({marks})", [time.time(), *touched]
        )
        self._db.execute("COMMIT")
        self._evict()

    def get(self, key: str) -> bytes | None:
        row = self._db.execute("SELECT data FROM cache WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def close(self) -> None:
        self._db.close()

    def _insert(self, puts: list[tuple[str, bytes]]) -> None:
        now = time.time()
        self._db.executemany(
            "REPLACE INTO cache (key, data, size, created_at, last_accessed) VALUES (?, ?, ?, ?, ?)",
            [(key, data, len(data), now, now) for key, data in puts],
        )

    def _evict(self) -> None:
        size, count = self._db.execute("SELECT total(size), count(*) FROM cache WHERE pinned = 0").fetchone()
        if size <= self._limit:
            return
        count_to_evict = int((size - self._limit) / (size / count) * 1.2) + 1
        self._db.execute(
            "DELETE FROM cache WHERE key IN"
            " (SELECT key FROM cache WHERE pinned = 0 ORDER BY last_accessed LIMIT ?)",
            (count_to_evict,),
        )
