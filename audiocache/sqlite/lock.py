"""The writer lock of one audio file: flock on a sibling file, held for the life of the process."""

import fcntl
import os
from pathlib import Path

from audiocache.errors import WriterBusy


class WriterLock:
    """The kernel releases it when the process ends. The lock file stays: removing it would be a race."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._fd: int | None = None

    @property
    def is_held(self) -> bool:
        return self._fd is not None

    def acquire(self) -> None:
        """Take the lock, or raise WriterBusy at once."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise WriterBusy(f"another process writes {self._path.stem} already") from None
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
