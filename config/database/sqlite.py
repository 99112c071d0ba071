"""Which SQLite this process uses: the wheel's where there is one, since older ones may corrupt a WAL file.

Imported by the settings before anything else imports `sqlite3`.
"""

import sys

# Several connections that write or checkpoint can lose a WAL reset below this: sqlite.org, 3.51.3.
FIRST_SOUND = (3, 51, 3)

try:
    import pysqlite3  # no wheel for every platform
except ImportError:
    pass
else:
    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2

import sqlite3  # noqa: E402  # before the swap this would be the old one


def is_sound() -> bool:
    return tuple(sqlite3.sqlite_version_info) >= FIRST_SOUND


__all__ = ["FIRST_SOUND", "is_sound", "sqlite3"]
