"""What can go wrong with the audio files, by what the caller does about it."""

from django.db import OperationalError

from config.database.sqlite import sqlite3

SQLITE_CORRUPT, SQLITE_NOTADB = 11, 26  # sqlite.org/rescode.html


class AudioCacheError(Exception):
    """Base of this app's errors."""


class WriterBusy(AudioCacheError):
    """Another process writes this file: end, and say so."""


class StoreMissing(AudioCacheError):
    """The file has not been made yet: `manage.py init_audiocache` does."""


class StoreUnavailable(AudioCacheError, OperationalError):
    """Locked, full or unreadable for the moment: nothing was changed, try again later."""


class StoreDamaged(AudioCacheError):
    """The file itself is corrupt: run_persister sets it aside and begins another."""


def is_damage(exc: sqlite3.Error) -> bool:
    """Whether the file is corrupt, and not only locked, full or out of reach."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in (SQLITE_CORRUPT, SQLITE_NOTADB)
