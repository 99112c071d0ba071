"""Eviction: least recently used entries of a file over its limit are marked, then removed by a later batch.

Look-ups that announce audio to clients skip marked entries, and entries announced earlier have been touched
by the time of the removal, which unmarks them. So no entry is evicted between its announcement and its
retrieval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from audiocache.store import PROTECTED_MS
from config.database.sqlite import sqlite3

MARKED = 0  # `last_access` of entries marked for eviction
FREED = 1  # `last_access` of entries unmarked since: the oldest of all

SLICE_BYTES = 8 * 1024 * 1024
SLICE_ENTRIES = 200

# Both name their index, so that a change that disables it fails instead of reading every row.
MARKED_ROWS = """
SELECT id, size FROM entry INDEXED BY entry_by_age
WHERE pinned = 0 AND last_access = 0 ORDER BY last_access, id
"""
BY_AGE = """
SELECT id, size FROM entry INDEXED BY entry_by_age
WHERE pinned = 0 AND last_access > 0 AND last_access < ? ORDER BY last_access, id
"""

Row = tuple[int, int]  # id, size


@dataclass(frozen=True, slots=True)
class EvictionSlice:
    """The most that one transaction evicts: little, but more than it stores, or the file would grow."""

    bytes: int = SLICE_BYTES
    entries: int = SLICE_ENTRIES

    @classmethod
    def for_batch(cls, new_bytes: int, new_entries: int) -> "EvictionSlice":
        return cls(max(SLICE_BYTES, 2 * new_bytes), max(SLICE_ENTRIES, 2 * new_entries))


def marked(db: sqlite3.Connection, excess: int, room: EvictionSlice) -> list[Row]:
    """Rows marked by an earlier batch, as many as needed to free `excess` bytes."""
    return _first(db.execute(MARKED_ROWS), excess, room)


def mark(db: sqlite3.Connection, excess: int, room: EvictionSlice, now_ms: int) -> int:
    """Mark the oldest rows for `excess` bytes in all. Return the number of marked rows."""
    already = db.execute(MARKED_ROWS).fetchall()
    excess -= sum(size for _, size in already)
    rows = _first(db.execute(BY_AGE, (now_ms - PROTECTED_MS,)), excess, room)
    _set_age(db, rows, MARKED)
    return len(already) + len(rows)


def unmark(db: sqlite3.Connection) -> None:
    """Unmark all rows, once the file is within its limit."""
    _set_age(db, db.execute(MARKED_ROWS).fetchall(), FREED)


def _first(cursor: sqlite3.Cursor, excess: int, room: EvictionSlice) -> list[Row]:
    rows: list[Row] = []
    total = 0
    if excess > 0:
        for entry_id, size in cursor:
            rows.append((entry_id, size))
            total += size
            if total >= min(excess, room.bytes) or len(rows) >= room.entries:
                break
    cursor.close()
    return rows


def _set_age(db: sqlite3.Connection, rows: Sequence[Row], age: int) -> None:
    db.executemany("UPDATE entry SET last_access = ? WHERE id = ?", [(age, entry_id) for entry_id, _ in rows])
