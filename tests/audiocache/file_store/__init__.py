"""A second audio store, for tests: shows that a store is added by its own folder and the settings alone."""

from tests.audiocache.file_store.store import FileStore

__all__ = ["FileStore"]
