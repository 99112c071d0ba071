"""Writes to one audio file: one transaction and one fsync per batch. Used by run_persister only."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import filterfalse
from pathlib import Path

from audiocache.errors import StoreDamaged, StoreMissing, StoreUnavailable
from audiocache.orders import Kind, Order
from audiocache.records import Change, Put, Removed
from audiocache.sqlite import eviction, rows
from audiocache.sqlite.lock import WriterLock
from config.database.sqlite import is_sound, sqlite3

WAL_LIMIT = 64 * 1024 * 1024  # bytes of log kept on disk after a checkpoint
VACUUM_PAGES = 256  # freed in one step
SPARE_BYTES = 64 * 1024 * 1024  # of free pages that a file keeps for later, besides a tenth of its limit
SQLITE_CORRUPT, SQLITE_NOTADB = 11, 26  # sqlite.org/rescode.html


class Writer:
    """Applies batches. Holds the writer lock from `open` or `lock` to `close`."""

    def __init__(
        self, path: Path, limit: int, *, clock: Callable[[], float] = time.time, busy_seconds: float = 5.0
    ) -> None:
        self._path = path
        self._limit = limit
        self._goal: int | None = None  # bytes to evict down to once, by an order to prune
        self._frees_pages = False
        self._clock = clock
        self._busy_seconds = busy_seconds
        self._lock = WriterLock(path)
        self._db: sqlite3.Connection | None = None

    def lock(self) -> None:
        """Take the writer lock, or raise WriterBusy."""
        if not self._lock.is_held:
            self._lock.acquire()

    def open(self) -> None:
        """Take the writer lock and check the file. Raises WriterBusy, StoreMissing or StoreDamaged."""
        if not self._path.exists():
            raise StoreMissing(f"{self._path.name} does not exist yet; run: manage.py init_audiocache")
        self.lock()
        try:
            with self._translated_errors():
                self._connect().execute("SELECT * FROM stat").fetchall()
        except StoreDamaged:
            raise
        except StoreUnavailable as exc:
            if "no such table" in str(exc):
                raise StoreMissing(f"{exc}; run: manage.py init_audiocache") from exc
            # The file is locked or the disk full: the first batch will wait.

    def disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def close(self) -> None:
        self.disconnect()
        self._lock.release()

    def write_batch(self, puts: Sequence[Put], orders: Sequence[Order], *, caught_up: bool = True) -> Change:
        """Apply one batch in one transaction; see Store.

        Eviction comes last, or the batch could evict entries that it pins or touches. Raises
        StoreUnavailable when the disk is full or the file locked or unreadable.
        """
        change = Change()
        now_ms = int(self._clock() * 1000)
        with self._translated_errors(), self._transaction() as db:
            for order in filter(_removes, orders):
                self._apply(db, order, change, now_ms)
            self._insert_new(db, puts, change, now_ms)
            for order in filterfalse(_removes, orders):
                self._apply(db, order, change, now_ms)
            self._evict(db, change, now_ms, caught_up)
            db.execute(
                "UPDATE stat SET bytes = bytes + ?, n = n + ?, pinned_bytes = pinned_bytes + ?",
                (change.bytes, change.n, change.pinned_bytes),
            )
        if self._goal is not None and not change.more:
            self._goal = None
        if not is_sound():
            self._checkpoint_when_alone()
        return change

    def free_space(self) -> bool:
        """Return some free pages to the file system, if the file has more than it will need again.

        Whether another call would free more. Blocks writes for milliseconds, however large the file is.
        """
        with self._translated_errors():
            db = self._connect()
            (pages,), (free,), (size,) = (
                db.execute(f"PRAGMA {name}").fetchone()
                for name in ("page_count", "freelist_count", "page_size")
            )
            spare = pages * size > self._limit + self._limit // 10 + SPARE_BYTES
            if not free or not (spare or self._frees_pages):
                self._frees_pages = False
                return False
            # `execute` would stop after the first page.
            db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        return True

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise StoreUnavailable or StoreDamaged for SQLite errors, and close the connection."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # totals below zero or two rows for one key: a bug, which no retry helps
        except sqlite3.DatabaseError as exc:
            self.disconnect()
            kind = StoreDamaged if _is_damage(exc) else StoreUnavailable
            raise kind(f"{self._path.stem}: {exc}") from exc

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._connect()
        # Not deferred: a transaction that reads first fails when another one writes before it does.
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _connect(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = self._new_connection()
        return self._db

    def _new_connection(self) -> sqlite3.Connection:
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

    def _checkpoint_when_alone(self) -> None:
        """Checkpoint by closing the last connection, which is safe even in an SQLite with the WAL bug."""
        log = self._path.with_name(self._path.name + "-wal")
        if log.exists() and log.stat().st_size > WAL_LIMIT:
            self.disconnect()

    def _apply(self, db: sqlite3.Connection, order: Order, change: Change, now_ms: int) -> None:
        match order.kind:
            case Kind.TOUCH:
                rows.touch(db, ((key, min(at_ms, now_ms)) for key, at_ms in order.times()))
            case Kind.PIN:
                (pinned,) = db.execute("SELECT pinned_bytes FROM stat").fetchone()
                room = self._limit // 2 - pinned - change.pinned_bytes
                more, refused = rows.pin(db, order.keys, room)
                change.pinned_bytes += more
                change.refused_pins += refused
            case Kind.UNPIN:
                change.pinned_bytes -= rows.unpin(db, order.keys)
            case Kind.DELETE:
                change.subtract(rows.delete(db, order.keys))
            case Kind.VERIFY:
                change.subtract(
                    rows.delete(db, [key for key in order.keys if not rows.is_undamaged(db, key)])
                )
            case Kind.PRUNE:
                self._goal = order.size if self._goal is None else min(self._goal, order.size)
                self._frees_pages = True

    def _insert_new(self, db: sqlite3.Connection, puts: Sequence[Put], change: Change, now_ms: int) -> None:
        by_key = {put.key: put for put in puts}
        stored = rows.stored_keys(db, list(by_key))
        damaged = {key for key in stored if not rows.is_undamaged(db, key)}
        change.subtract(rows.delete(db, damaged))  # the new copy replaces it
        kept = stored - damaged
        rows.touch(db, ((key, now_ms) for key in kept))
        new = [put for key, put in by_key.items() if key not in kept]
        rows.insert(db, new, now_ms)
        change.stored = len(new)
        change.n += len(new)
        change.bytes += sum(len(put.audio) for put in new)

    def _evict(self, db: sqlite3.Connection, change: Change, now_ms: int, caught_up: bool) -> None:
        room = eviction.EvictionSlice.for_batch(change.bytes, change.stored)
        (stored,) = db.execute("SELECT bytes FROM stat").fetchone()
        excess = stored + change.bytes - (self._limit if self._goal is None else min(self._goal, self._limit))
        if caught_up:
            marked = eviction.marked(db, excess, room)
            rows.remove(db, [entry_id for entry_id, _ in marked])
            change.evicted = len(marked)
            change.subtract([Removed(size, False) for _, size in marked])
            excess -= sum(size for _, size in marked)
        if excess > 0:
            change.more = eviction.mark(db, excess, room, now_ms) > 0
        else:
            eviction.unmark(db)
        change.total = stored + change.bytes


def _removes(order: Order) -> bool:
    return order.kind.removes


def _is_damage(exc: sqlite3.Error) -> bool:
    """Whether the file is corrupt, rather than locked, full or unreadable for now."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in (SQLITE_CORRUPT, SQLITE_NOTADB)
