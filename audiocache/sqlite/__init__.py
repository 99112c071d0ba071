"""The audio store in SQLite: one file per alias, any number of readers, and one writer."""

from audiocache.sqlite.eviction import FREED
from audiocache.sqlite.inspection import FileStats, ThrottledReader, file_stats, wrong_totals
from audiocache.sqlite.schema import is_ready, make, path_of
from audiocache.sqlite.store import SqliteStore

__all__ = [
    "FREED",
    "FileStats",
    "SqliteStore",
    "ThrottledReader",
    "file_stats",
    "is_ready",
    "make",
    "path_of",
    "wrong_totals",
]
