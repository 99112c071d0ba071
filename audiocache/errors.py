"""Exceptions of audiocache, by what the caller does about them."""

from django.db import OperationalError


class AudioCacheError(Exception):
    """Base class of audiocache's exceptions."""


class WriterBusy(AudioCacheError):
    """Another process writes to this store."""


class StoreMissing(AudioCacheError):
    """The storage does not exist yet; `manage.py init_audiocache` creates it."""


class StoreUnavailable(AudioCacheError, OperationalError):
    """The storage is locked, full or cannot be reached. Nothing was changed; retry later."""


class StoreDamaged(AudioCacheError):
    """The storage is corrupt. run_persister sets it aside and creates an empty one."""
