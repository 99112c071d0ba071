"""The right to write one audio file: a lock on a sibling file, held for the life of the process."""

import fcntl
import os
from pathlib import Path

from audiocache.errors import WriterBusy


class WriterLock:
    """Released by the kernel however the process ends. The file itself stays: removing it would race."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._fd: int | None = None

    @property
    def is_held(self) -> bool:
        return self._fd is not None

    def acquire(self) -> None:
        """Take it, or raise WriterBusy at once."""
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
