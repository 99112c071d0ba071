"""Reads of one audio file, on a read-only connection per thread. Never takes a write lock."""

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audiocache.errors import StoreDamaged, StoreUnavailable
from config.database.sqlite import sqlite3
from config.observability import metrics

logger = logging.getLogger(__name__)

DAMAGED = metrics.counter("audiocache_damaged_reads", "Reads that found a damaged page", ["file"])

TABLES = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('entry', 'payload', 'stat')"
BUSY_SECONDS = 1.0  # readers wait only for a recovery after a crash


class _Connection(sqlite3.Connection):
    """A connection that supports weak references and knows its file."""

    file: tuple[int, int]  # device and inode


class Reader:
    """Runs queries. Without a file there are no rows; a replaced file is reopened by the next read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._opened: weakref.WeakSet[_Connection] = weakref.WeakSet()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows at once: an open cursor would prevent checkpoints of the log.

        Raises StoreUnavailable when the file cannot be read now, and StoreDamaged where it is corrupt.
        """
        try:
            connection = self._connection()
            return connection.execute(sql, parameters).fetchall() if connection else []
        except sqlite3.OperationalError as exc:
            self._forget()
            raise StoreUnavailable(f"{self.path.stem}: {exc}") from exc
        except sqlite3.DatabaseError as exc:
            self._forget()
            DAMAGED.labels(self.path.stem).inc()
            logger.critical("%s cannot be read: %s", self.path.name, exc)
            raise StoreDamaged(f"{self.path.stem}: {exc}") from exc

    def close(self) -> None:
        """Close the connections of all threads; none may be reading."""
        for connection in list(self._opened):
            connection.close()
        self._local = threading.local()

    def _connection(self) -> _Connection | None:
        connection: _Connection | None = getattr(self._local, "connection", None)
        file = self._file()
        if connection is not None and connection.file != file:
            self._forget()
            connection = None
        if connection is None and file is not None:
            connection = self._local.connection = self._connect(file)
        return connection

    def _file(self) -> tuple[int, int] | None:
        """Device and inode of the file. Takes two microseconds, so every read checks for a replaced file."""
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(self.path)
            return status.st_dev, status.st_ino
        return None

    def _connect(self, file: tuple[int, int]) -> _Connection | None:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # `close` closes the connections of all threads
            factory=_Connection,
        )
        connection.file = file
        self._opened.add(connection)
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        if connection.execute(TABLES).fetchone()[0] == 3:
            return connection
        connection.close()  # another process is creating the tables
        return None

    def _forget(self) -> None:
        connection: _Connection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()
