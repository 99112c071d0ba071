"""What happens to a file that is corrupt: it is set aside whole, and an empty one takes its place."""

import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from config.database.sqlite import sqlite3

PARTS = ("", "-wal", "-shm")  # the file first: without it, nobody takes its log for that of the next one
AT_ONCE = 1000  # ids looked at together for what was pinned
LARGEST_ID = 10**8  # a larger one is damage


class SetAside(NamedTuple):
    """Where a corrupt file is now, and the list of what was pinned in it as far as it can be read."""

    file: Path
    pinned_list: Path
    pinned: int


def set_aside(path: Path) -> SetAside:
    """Move the file and its log away together. Nobody may write it; who reads it reopens by itself."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{os.getpid()}"
    pinned = list(dict.fromkeys(_pinned(path)))
    pinned_list = path.with_name(f"{path.name}.pinned-{stamp}.txt")
    pinned_list.write_text("".join(f"{hash_hex}\n" for hash_hex in pinned))
    moved = path.with_name(f"{path.name}.damaged-{stamp}")
    _move(path, moved)
    return SetAside(moved, pinned_list, len(pinned))


def finish(path: Path) -> bool:
    """After a death in the middle of `set_aside`: move what it left. Whether there was such a file at all."""
    moved = sorted(path.parent.glob(f"{path.name}.damaged-*"))
    files = [file for file in moved if not file.name.endswith(PARTS[1:])]
    if files and not path.exists():
        _move(path, files[-1])
    return bool(files)


def _move(path: Path, to: Path) -> None:
    for part in PARTS:
        with suppress(FileNotFoundError):
            path.with_name(path.name + part).rename(to.with_name(to.name + part))


def _pinned(path: Path) -> Iterator[str]:
    """Hashes, passing over what cannot be read."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        try:
            (last,) = db.execute("SELECT max(id) FROM entry").fetchone()
        except sqlite3.DatabaseError:
            return
        for start in range(0, min(last or 0, LARGEST_ID) + 1, AT_ONCE):
            with suppress(sqlite3.DatabaseError):
                for (key,) in db.execute(
                    "SELECT key FROM entry WHERE id >= ? AND id < ? AND pinned = 1", (start, start + AT_ONCE)
                ):
                    yield key.hex()
