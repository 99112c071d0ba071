"""The SQLite implementation of Store: one file, read by every process and written by one."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import DatabaseError

from audiocache import aliases, blob
from audiocache.errors import StoreDamaged, StoreMissing, StoreUnavailable
from audiocache.orders import Order
from audiocache.records import Change, Put, Record, SetAside, Stats, StoredAudio
from audiocache.sqlite import recovery, schema
from audiocache.sqlite.eviction import FREED
from audiocache.sqlite.reader import Reader
from audiocache.sqlite.writer import Writer
from audiocache.store import Store

AT_ONCE = 500  # hashes in one statement
SIZED = "SELECT size, meta, sha256, data FROM entry LEFT JOIN payload USING (id) WHERE key = ?"
WHOLE = "SELECT key, meta, sha256, data FROM entry LEFT JOIN payload USING (id) WHERE key"
OLDEST = """
SELECT last_access FROM entry WHERE pinned = 0 AND last_access > 1 ORDER BY last_access, id LIMIT 1
"""
NEXT = "SELECT id, key, size, pinned, last_access FROM entry WHERE id > ? ORDER BY id LIMIT ?"
# One statement, so that all values are of one snapshot.
TOTALS = """
SELECT (SELECT bytes FROM stat), (SELECT n FROM stat), (SELECT pinned_bytes FROM stat),
       total(size), count(*), total(size * pinned) FROM entry
"""


class SqliteStore(Store):
    """A store in one file, which is also Django's database `alias`, for migrations and the admin.

    While the file is absent, every read is a miss. So is an entry on a corrupt page, which is reported for
    run_persister to check.
    """

    def __init__(
        self,
        path: Path,
        limit: int,
        *,
        alias: str = aliases.AUDIO,
        report_damaged: Callable[[str], None] = lambda hash_hex: None,
        clock: Callable[[], float] = time.time,
        busy_seconds: float = 5.0,
    ) -> None:
        self.alias = alias
        self.path = path
        self.limit = limit
        self._report_damaged = report_damaged
        self._reader = Reader(path)
        self._writer = Writer(path, limit, clock=clock, busy_seconds=busy_seconds)

    def get(self, hash_hex: str) -> StoredAudio | None:
        rows = self._rows(f"{WHOLE} = ?", [hash_hex])
        return self._verified(*rows[0]) if rows else None

    def get_range(self, hash_hex: str, start: int, stop: int | None = None) -> StoredAudio | None:
        """Reads and verifies the whole value: SQLite reads from its beginning anyway."""
        found = self.get(hash_hex)
        return found and StoredAudio(found.header, found.audio[start:stop])

    def headers(self, hashes: Sequence[str]) -> dict[str, bytes]:
        headers: dict[str, bytes] = {}
        for key, meta, sha256 in self._rows_of("key, meta, sha256", hashes):
            if blob.header_fits(meta, sha256):
                headers[key.hex()] = meta
            else:
                self._damaged([key.hex()])
        return headers

    def exists(self, hash_hex: str) -> bool:
        return bool(self.exists_many([hash_hex]))

    def exists_many(self, hashes: Sequence[str]) -> set[str]:
        return {key.hex() for (key,) in self._rows_of("key", hashes)}

    def pins(self, hashes: Sequence[str]) -> dict[str, bool]:
        return {key.hex(): bool(pinned) for key, pinned in self._rows_of("key, pinned", hashes, least_age=0)}

    def stats(self) -> Stats:
        rows = self._rows("SELECT bytes, n, pinned_bytes FROM stat", [])
        total, entries, pinned = rows[0] if rows else (0, 0, 0)
        return Stats(total, entries, pinned, self.limit)

    def oldest_access(self) -> float | None:
        rows = self.rows(OLDEST)
        return rows[0][0] / 1000 if rows else None

    def space(self) -> Mapping[str, int]:
        free = self.rows("PRAGMA freelist_count")
        pages = self.rows("PRAGMA page_size")
        return {
            "file_bytes": _size(self.path),
            "log_bytes": _size(self.path.with_name(f"{self.path.name}-wal")),
            "free_bytes": free[0][0] * pages[0][0] if free and pages else 0,
        }

    def records(self) -> Iterator[Record]:
        last = 0
        while rows := self.rows(NEXT, (last, AT_ONCE)):
            for _, key, size, pinned, last_access in rows:
                used = last_access / 1000 if last_access > FREED else None
                yield Record(key.hex(), size, bool(pinned), used)
            last = rows[-1][0]

    def is_undamaged(self, hash_hex: str) -> bool:
        return all(
            blob.is_whole(meta, sha256, data) and len(data) == size
            for size, meta, sha256, data in self.rows(SIZED, [bytes.fromhex(hash_hex)])
        )

    def wrong_totals(self) -> list[str]:
        names = ("bytes", "entries", "pinned bytes")
        for row in self.rows(TOTALS):
            return [
                f"{name}: the total says {total}, the entries {int(counted)}"
                for name, total, counted in zip(names, row[:3], row[3:], strict=True)
                if total != counted
            ]
        return []

    def lost_pins(self) -> list[str]:
        return recovery.listed_pins(self.path)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Rows of any query, read-only. Raises StoreUnavailable or StoreDamaged."""
        return self._reader.rows(sql, parameters)

    def prepare(self) -> bool:
        try:
            if schema.is_ready(self.path, self.alias):
                return False
            schema.make(self.path, self.alias)
        except DatabaseError as exc:
            raise StoreUnavailable(str(exc)) from exc
        except OSError as exc:
            raise StoreMissing(f"{self.path} cannot be created: {exc.strerror}") from exc
        return True

    def open_writer(self) -> None:
        """Take the writer lock, and create the file if a process died during `replace_damaged`."""
        self._writer.lock()
        if recovery.finish(self.path):
            schema.build(self.path, self.alias)
        self._writer.open()

    def write_batch(self, puts: Sequence[Put], orders: Sequence[Order], *, caught_up: bool = True) -> Change:
        """One transaction and one fsync, however many entries."""
        return self._writer.write_batch(puts, orders, caught_up=caught_up)

    def free_space(self) -> bool:
        return self._writer.free_space()

    def disconnect_writer(self) -> None:
        """Close the connection for writing and keep the lock. The next write opens one, in its own thread."""
        self._writer.disconnect()

    def replace_damaged(self) -> SetAside:
        """Move the corrupt file away and create an empty one."""
        self._writer.lock()
        self._writer.disconnect()
        aside = recovery.set_aside(self.path)
        schema.build(self.path, self.alias)
        return aside

    def close(self) -> None:
        """Close all connections and release the writer lock."""
        self._reader.close()
        self._writer.close()

    def _rows_of(self, columns: str, hashes: Sequence[str], least_age: int = 1) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for part in _parts(hashes):
            condition = f"key IN ({_marks(part)}) AND last_access >= {least_age}"
            rows += self._rows(f"SELECT {columns} FROM entry WHERE {condition}", part)  # noqa: S608
        return rows

    def _verified(self, key: bytes, meta: bytes, sha256: bytes, data: bytes | None) -> StoredAudio | None:
        if data is not None and blob.is_whole(meta, sha256, data):
            return StoredAudio(meta, data)
        self._damaged([key.hex()])
        return None

    def _rows(self, sql: str, hashes: Sequence[str]) -> list[Any]:
        try:
            return self._reader.rows(sql, [bytes.fromhex(hash_hex) for hash_hex in hashes])
        except StoreDamaged:
            self._damaged(hashes)
            return []

    def _damaged(self, hashes: Sequence[str]) -> None:
        for hash_hex in hashes:
            self._report_damaged(hash_hex)


def _parts(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    return (hashes[start : start + AT_ONCE] for start in range(0, len(hashes), AT_ONCE))


def _marks(hashes: Sequence[str]) -> str:
    return ",".join("?" * len(hashes))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
