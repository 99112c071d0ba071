"""Recovery from a corrupt file: it is set aside with its log, and an empty file takes its place."""

import re
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from audiocache.records import SetAside
from config.database.sqlite import sqlite3

PARTS = ("", "-wal", "-shm")  # the file first: a log left behind would be taken for that of the next file
AT_ONCE = 1000  # ids in one query for pinned entries
HASH = re.compile(r"[0-9a-f]{64}")
LARGEST_ID = 10**8  # a larger one is a damaged value


def set_aside(path: Path) -> SetAside:
    """Move the file and its log away. Requires the writer lock; readers reopen the new file by themselves."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds)) + f"-{nanoseconds:09d}"
    pinned = list(dict.fromkeys(_pinned(path)))
    pinned_list = path.with_name(f"{path.name}.pinned-{stamp}.txt")
    pinned_list.write_text("".join(f"{hash_hex}\n" for hash_hex in pinned))
    moved = path.with_name(f"{path.name}.damaged-{stamp}")
    _move(path, moved)
    return SetAside(str(moved), str(pinned_list), len(pinned))


def finish(path: Path) -> bool:
    """Finish a `set_aside` that was interrupted. Whether any file has been set aside."""
    moved = sorted(path.parent.glob(f"{path.name}.damaged-*"))
    files = [file for file in moved if not file.name.endswith(PARTS[1:])]
    if files and not path.exists():
        _move(path, files[-1])
    return bool(files)


def listed_pins(path: Path) -> list[str]:
    """Hashes in the pinned lists beside a file, oldest list first, without duplicates."""
    lists = sorted(path.parent.glob(f"{path.name}.pinned-*.txt"))
    lines = (line for pinned_list in lists for line in pinned_list.read_text().split())
    return [line for line in dict.fromkeys(lines) if HASH.fullmatch(line)]


def _move(path: Path, to: Path) -> None:
    for part in PARTS:
        with suppress(FileNotFoundError):
            path.with_name(path.name + part).rename(to.with_name(to.name + part))


def _pinned(path: Path) -> Iterator[str]:
    """Hashes of the pinned entries that can be read."""
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
