"""SQL statements of the writer on entries and payloads. Each keeps the two tables consistent."""

from collections.abc import Iterable, Sequence

from audiocache.blob import is_whole
from audiocache.records import Put, Removed
from audiocache.sqlite.eviction import FREED
from config.database.sqlite import sqlite3

AT_ONCE = 500  # keys in one query


def insert(db: sqlite3.Connection, puts: Sequence[Put], now_ms: int) -> None:
    first = 1 + (db.execute("SELECT max(id) FROM entry").fetchone()[0] or 0)
    numbered = list(enumerate(puts, first))
    db.executemany(
        "INSERT INTO entry (id, key, size, sha256, meta, created_at, last_access, pinned)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
        [(number, put.key, len(put.audio), put.sha256, put.meta, now_ms, now_ms) for number, put in numbered],
    )
    db.executemany(
        "INSERT INTO payload (id, data) VALUES (?, ?)", [(number, put.audio) for number, put in numbered]
    )


def touch(db: sqlite3.Connection, times: Iterable[tuple[bytes, int]]) -> None:
    """Set the last access of each key, forward in time only."""
    db.executemany(
        "UPDATE entry SET last_access = ? WHERE key = ? AND last_access < ?",
        [(at_ms, key, at_ms) for key, at_ms in times],
    )


def pin(db: sqlite3.Connection, keys: Iterable[bytes], room: int) -> tuple[int, int]:
    """Pin as many entries as fit into `room` bytes. Return the bytes pinned and the number that did not fit.

    Unmarks entries that were marked for eviction.
    """
    pinned = refused = 0
    for key in keys:
        for entry_id, size in db.execute("SELECT id, size FROM entry WHERE key = ? AND pinned = 0", (key,)):
            if pinned + size > room:
                refused += 1
            else:
                db.execute(
                    "UPDATE entry SET pinned = 1, last_access = max(last_access, ?) WHERE id = ?",
                    (FREED, entry_id),
                )
                pinned += size
    return pinned, refused


def unpin(db: sqlite3.Connection, keys: Iterable[bytes]) -> int:
    """Unpin entries and return the bytes unpinned."""
    statement = "UPDATE entry SET pinned = 0 WHERE key = ? AND pinned = 1 RETURNING size"
    return sum(size for key in keys for (size,) in db.execute(statement, (key,)).fetchall())


def delete(db: sqlite3.Connection, keys: Iterable[bytes]) -> list[Removed]:
    """Delete entries by key. Absent ones are skipped."""
    removed = []
    for key in keys:
        for entry_id, size, pinned in db.execute(
            "SELECT id, size, pinned FROM entry WHERE key = ?", (key,)
        ).fetchall():
            remove(db, [entry_id])
            removed.append(Removed(size, bool(pinned)))
    return removed


def remove(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    rows = [(entry_id,) for entry_id in ids]
    db.executemany("DELETE FROM payload WHERE id = ?", rows)
    db.executemany("DELETE FROM entry WHERE id = ?", rows)


def stored_keys(db: sqlite3.Connection, keys: Sequence[bytes]) -> set[bytes]:
    stored: set[bytes] = set()
    for start in range(0, len(keys), AT_ONCE):
        part = keys[start : start + AT_ONCE]
        marks = ",".join("?" * len(part))
        stored.update(key for (key,) in db.execute(f"SELECT key FROM entry WHERE key IN ({marks})", part))  # noqa: S608
    return stored


def is_undamaged(db: sqlite3.Connection, key: bytes) -> bool:
    """Whether an entry is undamaged or absent: in both cases there is nothing to delete."""
    rows = db.execute(
        "SELECT meta, sha256, data FROM entry LEFT JOIN payload USING (id) WHERE key = ?", (key,)
    ).fetchall()
    return all(is_whole(*row) for row in rows)
