"""Writes to one audio file: one transaction and one fsync for each batch. Only run_persister does it."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from audiocache import eviction
from audiocache.errors import StoreMissing, StoreUnavailable
from audiocache.integrity import is_whole
from audiocache.lock import WriterLock
from audiocache.orders import Kind, Order
from config.sqlite import is_sound, sqlite3

WAL_LIMIT = 64 * 1024 * 1024  # bytes the log may keep on disk once it is written back
AT_ONCE = 500  # keys in one look-up


@dataclass(frozen=True, slots=True)
class Put:
    """One piece of audio to keep, its checksum verified by whoever made this."""

    key: bytes
    meta: bytes
    audio: bytes | memoryview
    sha256: bytes


@dataclass(slots=True)
class Change:
    """What a batch did; the difference it makes to the totals."""

    bytes: int = 0
    n: int = 0
    pinned_bytes: int = 0
    stored: int = 0
    evicted: int = 0

    def entries_left(self, rows: Sequence[tuple[int, bool]]) -> None:
        """Count off entries by size and whether pinned."""
        self.n -= len(rows)
        self.bytes -= sum(size for size, _ in rows)
        self.pinned_bytes -= sum(size for size, pinned in rows if pinned)


class Writer:
    """Holds the lock from `open` to `close`."""

    def __init__(
        self, path: Path, limit: int, *, clock: Callable[[], float] = time.time, busy_seconds: float = 5.0
    ) -> None:
        self._path = path
        self._limit = limit
        self._clock = clock
        self._busy_seconds = busy_seconds
        self._lock = WriterLock(path)
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Raise StoreMissing or WriterBusy when this process cannot be the writer."""
        if not self._path.exists():
            raise StoreMissing(f"{self._path.name} is not there yet; run: manage.py init_audiocache")
        self._lock.acquire()

    def close(self) -> None:
        self._disconnect()
        self._lock.release()

    def write_batch(self, puts: Sequence[Put], orders: Sequence[Order]) -> Change:
        """Apply one batch in one transaction. Repeatable.

        What is removed goes before what comes new, pins and touches find it there, and all that before
        eviction, or the batch could evict what it was just told is wanted. Raises
        StoreUnavailable, with nothing changed, when the disk is full or the file locked or unreadable.
        """
        change = Change()
        now_ms = int(self._clock() * 1000)
        try:
            with self._transaction() as db:
                for order in orders:
                    if order.kind.removes:
                        self._apply(db, order, change, now_ms)
                self._insert_new(db, puts, change, now_ms)
                for order in orders:
                    if not order.kind.removes:
                        self._apply(db, order, change, now_ms)
                self._evict(db, change, now_ms)
                db.execute(
                    "UPDATE stat SET bytes = bytes + ?, n = n + ?, pinned_bytes = pinned_bytes + ?",
                    (change.bytes, change.n, change.pinned_bytes),
                )
        except sqlite3.IntegrityError:
            raise  # totals below zero, two rows for one key: not weather, and no retry helps
        except sqlite3.DatabaseError as exc:
            self._disconnect()
            raise StoreUnavailable(f"{self._path.stem}: {exc}") from exc
        if not is_sound():
            self._write_back_when_alone()
        return change

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._db = self._db or self._connect()
        # Not a deferred one: reading first and writing later fails at once when anybody else wrote between.
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _connect(self) -> sqlite3.Connection:
        if not self._lock.is_held:
            raise RuntimeError("only the holder of the lock may write")
        db = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._busy_seconds,
            isolation_level=None,
        )
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        if not is_sound():
            db.execute("PRAGMA wal_autocheckpoint = 0")
        return db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _write_back_when_alone(self) -> None:
        """Closing checkpoints only if no other connection is open: then even an unsound SQLite is safe."""
        log = self._path.with_name(self._path.name + "-wal")
        if log.exists() and log.stat().st_size > WAL_LIMIT:
            self._disconnect()

    def _apply(self, db: sqlite3.Connection, order: Order, change: Change, now_ms: int) -> None:
        match order.kind:
            case Kind.TOUCH:
                _touch(db, order.keys, min(order.at_ms, now_ms))
            case Kind.PIN | Kind.UNPIN:
                change.pinned_bytes += _set_pinned(db, order.keys, order.kind == Kind.PIN)
            case Kind.DELETE:
                _delete(db, order.keys, change)
            case Kind.VERIFY:
                _delete(db, [key for key in order.keys if not _is_right(db, key)], change)

    def _insert_new(self, db: sqlite3.Connection, puts: Sequence[Put], change: Change, now_ms: int) -> None:
        by_key = {put.key: put for put in puts}
        present = _present(db, list(by_key))
        wrong = [key for key in present if not _is_right(db, key)]
        _delete(db, wrong, change)  # these bytes mend it
        _touch(db, [key for key in present if key not in wrong], now_ms)
        kept = present.difference(wrong)
        new = [put for key, put in by_key.items() if key not in kept]
        first = 1 + (db.execute("SELECT max(id) FROM entry").fetchone()[0] or 0)
        db.executemany(
            "INSERT INTO entry (id, key, size, sha256, meta, created_at, last_access, pinned)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            [
                (number, put.key, len(put.audio), put.sha256, put.meta, now_ms, now_ms)
                for number, put in enumerate(new, first)
            ],
        )
        db.executemany(
            "INSERT INTO payload (id, data) VALUES (?, ?)",
            [(number, put.audio) for number, put in enumerate(new, first)],
        )
        change.stored = len(new)
        change.n += len(new)
        change.bytes += sum(len(put.audio) for put in new)

    def _evict(self, db: sqlite3.Connection, change: Change, now_ms: int) -> None:
        (stored,) = db.execute("SELECT bytes FROM stat").fetchone()
        leaving = eviction.victims(db, excess=stored + change.bytes - self._limit, now_ms=now_ms)
        _remove_rows(db, [entry_id for entry_id, _ in leaving])
        change.evicted = len(leaving)
        change.entries_left([(size, False) for _, size in leaving])


def _touch(db: sqlite3.Connection, keys: Iterable[bytes], at_ms: int) -> None:
    db.executemany(
        "UPDATE entry SET last_access = ? WHERE key = ? AND last_access < ?",
        [(at_ms, key, at_ms) for key in keys],
    )


def _set_pinned(db: sqlite3.Connection, keys: Iterable[bytes], pinned: bool) -> int:
    """Return by how many bytes what is pinned grows."""
    changed = 0
    for key in keys:
        rows = db.execute(
            "UPDATE entry SET pinned = ? WHERE key = ? AND pinned <> ? RETURNING size", (pinned, key, pinned)
        ).fetchall()
        changed += sum(size for (size,) in rows)
    return changed if pinned else -changed


def _delete(db: sqlite3.Connection, keys: Iterable[bytes], change: Change) -> None:
    for key in keys:
        for entry_id, size, pinned in db.execute(
            "SELECT id, size, pinned FROM entry WHERE key = ?", (key,)
        ).fetchall():
            _remove_rows(db, [entry_id])
            change.entries_left([(size, bool(pinned))])


def _remove_rows(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    rows = [(entry_id,) for entry_id in ids]
    db.executemany("DELETE FROM payload WHERE id = ?", rows)
    db.executemany("DELETE FROM entry WHERE id = ?", rows)


def _present(db: sqlite3.Connection, keys: Sequence[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        marks = ",".join("?" * len(some))
        found.update(key for (key,) in db.execute(f"SELECT key FROM entry WHERE key IN ({marks})", some))  # noqa: S608
    return found


def _is_right(db: sqlite3.Connection, key: bytes) -> bool:
    """An absent entry is right, too: there is nothing to delete."""
    rows = db.execute(
        "SELECT meta, sha256, data FROM entry LEFT JOIN payload USING (id) WHERE key = ?", (key,)
    ).fetchall()
    return all(is_whole(*row) for row in rows)
