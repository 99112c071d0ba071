"""Writes to one audio file: one transaction and one fsync for each batch. Only run_persister does it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import filterfalse
from pathlib import Path

from audiocache.errors import StoreDamaged, StoreMissing, StoreUnavailable, is_damage
from audiocache.orders import Kind, Order
from audiocache.sqlite import eviction, rows
from audiocache.sqlite.lock import WriterLock
from audiocache.sqlite.rows import Put, Removed
from config.database.sqlite import is_sound, sqlite3

WAL_LIMIT = 64 * 1024 * 1024  # bytes the log may keep on disk once it is written back
VACUUM_PAGES = 256  # given back in one step
SPARE_BYTES = 64 * 1024 * 1024  # and a tenth of the limit: free pages that a file keeps for later


@dataclass(slots=True)
class Change:
    """What a batch did; `bytes`, `n` and `pinned_bytes` are the difference it makes to the totals."""

    bytes: int = 0
    n: int = 0
    pinned_bytes: int = 0
    stored: int = 0
    evicted: int = 0
    refused_pins: int = 0
    total: int = 0  # bytes in the file afterwards
    more: bool = False  # the next batch can evict what this one had to leave

    def leave(self, removed: Sequence[Removed]) -> None:
        self.n -= len(removed)
        self.bytes -= sum(one.size for one in removed)
        self.pinned_bytes -= sum(one.size for one in removed if one.pinned)


class Writer:
    """Holds the lock from `open` to `close`."""

    def __init__(
        self, path: Path, limit: int, *, clock: Callable[[], float] = time.time, busy_seconds: float = 5.0
    ) -> None:
        self._path = path
        self._limit = limit
        self._goal: int | None = None  # below the limit, while somebody wants less kept for once
        self._gives_back = False
        self._clock = clock
        self._busy_seconds = busy_seconds
        self._lock = WriterLock(path)
        self._db: sqlite3.Connection | None = None

    def lock(self) -> None:
        """Raise WriterBusy when this process cannot be the writer."""
        if not self._lock.is_held:
            self._lock.acquire()

    def open(self) -> None:
        """Also look whether the file is what it should be. Raises StoreMissing or StoreDamaged as well."""
        if not self._path.exists():
            raise StoreMissing(f"{self._path.name} is not there yet; run: manage.py init_audiocache")
        self.lock()
        try:
            with self._weather():
                self._connect().execute("SELECT * FROM stat").fetchall()
        except StoreDamaged:
            raise
        except StoreUnavailable as exc:
            if "no such table" in str(exc):
                raise StoreMissing(f"{exc}; run: manage.py init_audiocache") from exc
            # Locked or full for the moment: the first batch waits for it.

    def disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def close(self) -> None:
        self.disconnect()
        self._lock.release()

    def write_batch(self, puts: Sequence[Put], orders: Sequence[Order], *, caught_up: bool = True) -> Change:
        """Apply one batch in one transaction. Repeatable.

        What is removed goes before what comes new, pins and touches find it there, and all that before
        eviction, or the batch could evict what it was just told is wanted. `caught_up`: every touch that
        was ordered before the last batch is among `orders` or was applied, so what is marked may leave.
        Raises StoreUnavailable, with nothing changed, when the disk is full or the file locked or
        unreadable, and StoreDamaged when it never will be readable again.
        """
        change = Change()
        now_ms = int(self._clock() * 1000)
        with self._weather(), self._transaction() as db:
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
            self._write_back_when_alone()
        return change

    def give_back(self) -> bool:
        """Return a few free pages to the file system, if there are more than this file will need again.

        Whether it is worth another call. Blocks a write for milliseconds, however large the file.
        """
        with self._weather():
            db = self._connect()
            (pages,), (free,), (size,) = (
                db.execute(f"PRAGMA {name}").fetchone()
                for name in ("page_count", "freelist_count", "page_size")
            )
            spare = pages * size > self._limit + self._limit // 10 + SPARE_BYTES
            if not free or not (spare or self._gives_back):
                self._gives_back = False
                return False
            # `execute` would stop after the first page.
            db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        return True

    @contextmanager
    def _weather(self) -> Iterator[None]:
        """Tell what passes from what does not. After either, the next attempt is on a new connection."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # totals below zero, two rows for one key: not weather, and no retry helps
        except sqlite3.DatabaseError as exc:
            self.disconnect()
            kind = StoreDamaged if is_damage(exc) else StoreUnavailable
            raise kind(f"{self._path.stem}: {exc}") from exc

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._connect()
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

    def _write_back_when_alone(self) -> None:
        """Closing checkpoints only if no other connection is open: then even an unsound SQLite is safe."""
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
                change.leave(rows.delete(db, order.keys))
            case Kind.VERIFY:
                change.leave(rows.delete(db, [key for key in order.keys if not rows.is_right(db, key)]))
            case Kind.PRUNE:
                self._goal = order.size if self._goal is None else min(self._goal, order.size)
                self._gives_back = True

    def _insert_new(self, db: sqlite3.Connection, puts: Sequence[Put], change: Change, now_ms: int) -> None:
        by_key = {put.key: put for put in puts}
        present = rows.present(db, list(by_key))
        wrong = {key for key in present if not rows.is_right(db, key)}
        change.leave(rows.delete(db, wrong))  # these bytes mend it
        kept = present - wrong
        rows.touch(db, ((key, now_ms) for key in kept))
        new = [put for key, put in by_key.items() if key not in kept]
        rows.insert(db, new, now_ms)
        change.stored = len(new)
        change.n += len(new)
        change.bytes += sum(len(put.audio) for put in new)

    def _evict(self, db: sqlite3.Connection, change: Change, now_ms: int, caught_up: bool) -> None:
        room = eviction.Slice.beside(change.bytes, change.stored)
        (stored,) = db.execute("SELECT bytes FROM stat").fetchone()
        excess = stored + change.bytes - (self._limit if self._goal is None else min(self._goal, self._limit))
        if caught_up:
            leaving = eviction.leaving(db, excess, room)
            rows.remove(db, [entry_id for entry_id, _ in leaving])
            change.evicted = len(leaving)
            change.leave([Removed(size, False) for _, size in leaving])
            excess -= sum(size for _, size in leaving)
        if excess > 0:
            change.more = eviction.mark(db, excess, room, now_ms) > 0
        else:
            eviction.unmark(db)
        change.total = stored + change.bytes


def _removes(order: Order) -> bool:
    return order.kind.removes
