"""The audio store in SQLite: one file per alias, any number of readers, and one writer."""

from audiocache.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "router"]
