"""Creation of an audio file: pragmas that precede its first table, then the migrations. Repeatable."""

from pathlib import Path

from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from audiocache.sqlite.lock import WriterLock
from config.database.sqlite import sqlite3

APP = "audiocache"  # label of audiocache.sqlite
PAGE_SIZE = 16384


def is_ready(path: Path, alias: str) -> bool:
    """Whether the file exists with every migration applied."""
    if not path.exists():
        return False
    executor = MigrationExecutor(connections[alias])
    return not executor.migration_plan(executor.loader.graph.leaf_nodes(APP))


def make(path: Path, alias: str) -> None:
    """Create or migrate the file. Raises WriterBusy while another process holds the writer lock."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = WriterLock(path)
    lock.acquire()
    try:
        build(path, alias)
    finally:
        lock.release()


def build(path: Path, alias: str) -> None:
    """Create or migrate the file, Django's database of this alias. The caller holds the writer lock."""
    connections[alias].close()
    try:
        _set_page_size(path)
        call_command("migrate", APP, database=alias, verbosity=0, interactive=False, skip_checks=True)
    finally:
        connections[alias].close()


def _set_page_size(path: Path) -> None:
    """Set the page size of a file without tables. One that Django has opened is empty but has pages."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            db.execute("PRAGMA journal_mode = DELETE")  # a log fixes the page size
            db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("VACUUM")
        db.execute("PRAGMA journal_mode = WAL")
    finally:
        db.close()
