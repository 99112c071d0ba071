"""Exceptions of audiocache, by what the caller does about them."""

from django.db import OperationalError


class AudioCacheError(Exception):
    """Base class of audiocache's exceptions."""


class WriterBusy(AudioCacheError):
    """Another process holds the writer lock of this file."""


class StoreMissing(AudioCacheError):
    """The file does not exist yet; `manage.py init_audiocache` creates it."""


class StoreUnavailable(AudioCacheError, OperationalError):
    """The file is locked, the disk full or the file unreadable. Nothing was changed; retry later."""


class StoreDamaged(AudioCacheError):
    """The file is corrupt. run_persister sets it aside and creates an empty one."""
