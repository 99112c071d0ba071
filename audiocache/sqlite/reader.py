"""Pure reads of one audio file: a read-only connection for each thread, kept. Never takes a write lock."""

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

DAMAGED = metrics.counter("audiocache_damaged_reads", "Reads that met a damaged page", ["file"])

TABLES = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('entry', 'payload', 'stat')"
BUSY_SECONDS = 1.0  # readers wait for nobody but a recovery after a crash


class _Connection(sqlite3.Connection):
    """Unlike its parent it can be referred to weakly. Knows which file it reads."""

    file: tuple[int, int]


class Reader:
    """While there is no file, everything is a miss. A file that was set aside is let go at the next read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._opened: weakref.WeakSet[_Connection] = weakref.WeakSet()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows at once: an open cursor would keep the log from being written back.

        Raises StoreUnavailable when the file cannot be read now, and StoreDamaged when it is corrupt there.
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
        """Which file is there now. Two microseconds: less than asking anybody whether it is another one."""
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(self.path)
            return found.st_dev, found.st_ino
        return None

    def _connect(self, file: tuple[int, int]) -> _Connection | None:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # so that `close` may close it
            factory=_Connection,
        )
        connection.file = file
        self._opened.add(connection)
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        if connection.execute(TABLES).fetchone()[0] == 3:
            return connection
        connection.close()  # being made at this moment
        return None

    def _forget(self) -> None:
        connection: _Connection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()
