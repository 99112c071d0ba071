"""The contract of audio stores, kept by plain files."""

from tests.audiocache.store_contract import StoreContract


class TestFileStore(StoreContract):
    """No test of its own: it exists to show that another store is possible."""
