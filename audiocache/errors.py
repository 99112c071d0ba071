"""What can go wrong with the audio files, by what the caller does about it."""

from django.db import OperationalError


class AudioCacheError(Exception):
    """Base of this app's errors."""


class WriterBusy(AudioCacheError):
    """Another process writes this file: end, and say so."""


class StoreMissing(AudioCacheError):
    """The file has not been made yet: `manage.py init_audiocache` does."""


class StoreUnavailable(AudioCacheError, OperationalError):
    """Locked, full or unreadable for the moment: nothing was changed, try again later."""
