"""Which entries leave a file that has grown over its limit: those unused for longest, in two steps.

What is to leave is marked first and removed by a later batch. Whoever announces audio passes over what is
marked, and what was announced before has been touched by then, which takes the mark away: nothing leaves
between being announced and being fetched.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from config.database.sqlite import sqlite3

# What was used or announced this recently stays: a listener told `cached` comes for it within minutes.
PROTECTED_MS = 300_000
MARKED = 0  # `last_access` of what leaves next
FREED = 1  # and of what was to leave until there was room again: the oldest of all

SLICE_BYTES = 8 * 1024 * 1024
SLICE_ENTRIES = 200

# Both name their index, so that a change that makes it useless fails instead of reading every row.
LEAVING = """
SELECT id, size FROM entry INDEXED BY entry_by_age
WHERE pinned = 0 AND last_access = 0 ORDER BY last_access, id
"""
BY_AGE = """
SELECT id, size FROM entry INDEXED BY entry_by_age
WHERE pinned = 0 AND last_access > 0 AND last_access < ? ORDER BY last_access, id
"""

Row = tuple[int, int]  # id, size


@dataclass(frozen=True, slots=True)
class Slice:
    """How much one transaction may evict: little, but more than came in, or the file would grow."""

    bytes: int = SLICE_BYTES
    entries: int = SLICE_ENTRIES

    @classmethod
    def beside(cls, new_bytes: int, new_entries: int) -> "Slice":
        return cls(max(SLICE_BYTES, 2 * new_bytes), max(SLICE_ENTRIES, 2 * new_entries))


def leaving(db: sqlite3.Connection, excess: int, room: Slice) -> list[Row]:
    """Those marked by an earlier batch, as many as it takes to free `excess` bytes."""
    return _first(db.execute(LEAVING), excess, room)


def mark(db: sqlite3.Connection, excess: int, room: Slice, now_ms: int) -> int:
    """Mark the oldest beside those that are marked; return how many are now."""
    marked = db.execute(LEAVING).fetchall()
    excess -= sum(size for _, size in marked)
    rows = _first(db.execute(BY_AGE, (now_ms - PROTECTED_MS,)), excess, room)
    _set_age(db, rows, MARKED)
    return len(marked) + len(rows)


def unmark(db: sqlite3.Connection) -> None:
    """There is room again."""
    _set_age(db, db.execute(LEAVING).fetchall(), FREED)


def _first(cursor: sqlite3.Cursor, excess: int, room: Slice) -> list[Row]:
    found: list[Row] = []
    taken = 0
    if excess > 0:
        for entry_id, size in cursor:
            found.append((entry_id, size))
            taken += size
            if taken >= min(excess, room.bytes) or len(found) >= room.entries:
                break
    cursor.close()
    return found


def _set_age(db: sqlite3.Connection, rows: Sequence[Row], age: int) -> None:
    db.executemany("UPDATE entry SET last_access = ? WHERE id = ?", [(age, entry_id) for entry_id, _ in rows])
