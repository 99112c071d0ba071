"""The SQLite library of this process: the pysqlite3 wheel if installed, since older ones can corrupt a WAL.

The settings import this module before any other module imports `sqlite3`.
"""

import sys

# In earlier versions, concurrent writers and checkpoints can lose a WAL reset: sqlite.org, 3.51.3.
FIRST_SOUND = (3, 51, 3)

try:
    import pysqlite3  # not available on every platform
except ImportError:
    pass
else:
    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2

import sqlite3  # noqa: E402  # only now, or it would be the old library


def is_sound() -> bool:
    return tuple(sqlite3.sqlite_version_info) >= FIRST_SOUND


__all__ = ["FIRST_SOUND", "is_sound", "sqlite3"]
