"""Private SQLite audio files of a benchmark, and entries to fill them."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import django

from audiocache import blob

BYTES = 100_000
FILLED_AT_ONCE = 200


@contextlib.contextmanager
def audio_file() -> Iterator[Path]:
    """An empty file, as made by `init_audiocache`. Sets Django up on it: at most once in a process."""
    folder = Path(tempfile.mkdtemp(prefix="yapit-bench-"))
    os.environ.update(AUDIO_DIR=str(folder), DJANGO_SETTINGS_MODULE="config.settings", LOG_LEVEL="WARNING")
    django.setup()
    from django.core.management import call_command

    try:
        call_command("init_audiocache", stdout=open(os.devnull, "w"))  # noqa: SIM115
        yield folder / "audio.sqlite3"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class PutFactory:
    """Makes puts that differ in their keys only, at little CPU time."""

    def __init__(self, size: int = BYTES) -> None:
        audio = secrets.token_bytes(size)
        header = blob.header_for(audio, duration_ms=20_000, media_type="audio/ogg")
        self.audio, self.header, self.sha256 = audio, blob.header_bytes(header), header.sha256

    def puts(self, count: int) -> list[Any]:
        from audiocache.records import Put

        return [Put(secrets.token_bytes(32), self.header, self.audio, self.sha256) for _ in range(count)]


def fill(store: Any, factory: PutFactory, count: int) -> list[Any]:
    """Store `count` entries and return them."""
    stored: list[Any] = []
    while len(stored) < count:
        some = factory.puts(min(FILLED_AT_ONCE, count - len(stored)))
        store.write_batch(some, [])
        stored += some
    return stored


def hashes_of(puts: Sequence[Any]) -> list[str]:
    return [put.key.hex() for put in puts]
