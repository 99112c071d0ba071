"""Which entries leave a file that has grown over its limit: those unused for longest."""

from config.sqlite import sqlite3

# What was used or announced this recently stays: a listener told `cached` comes for it within minutes.
PROTECTED_MS = 300_000

# Names its index, so that a change that makes it useless fails instead of reading every row.
BY_AGE = """
SELECT id, size FROM entry INDEXED BY entry_by_age
WHERE pinned = 0 AND last_access < ? ORDER BY last_access, id
"""


def victims(db: sqlite3.Connection, *, excess: int, now_ms: int) -> list[tuple[int, int]]:
    """The (id, size) of as many as it takes to free `excess` bytes, or as many as may leave."""
    found: list[tuple[int, int]] = []
    if excess <= 0:
        return found
    cursor = db.execute(BY_AGE, (now_ms - PROTECTED_MS,))
    for entry_id, size in cursor:
        found.append((entry_id, size))
        excess -= size
        if excess <= 0:
            break
    cursor.close()
    return found
