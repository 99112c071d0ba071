"""The audio store of an alias: its interface, and the instance of this process."""

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from django.conf import settings
from redis.exceptions import RedisError

from audiocache import orders
from audiocache.records import Change, Put, SetAside, Stats, StoredAudio
from audiocache.sqlite import SqliteStore
from config.redis import clients as redis_clients

logger = logging.getLogger(__name__)

__all__ = ["AudioStore", "StoredAudio", "store_for"]


class AudioStore(Protocol):
    """Audio by hash (64 hex digits).

    Every process may read, from any thread; reads raise StoreUnavailable while the store cannot be read. Only
    run_persister writes.
    """

    alias: str
    limit: int  # bytes

    def get(self, hash_hex: str) -> StoredAudio | None:
        """The audio, its checksum verified. Damaged audio is reported, and absent."""

    def headers(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """Headers of the stored hashes, without those marked for eviction. Reads no audio."""

    def exists(self, hash_hex: str) -> bool: ...

    def exists_many(self, hashes: Sequence[str]) -> set[str]:
        """The stored hashes among these, without those marked for eviction."""

    def pins(self, hashes: Sequence[str]) -> dict[str, bool]:
        """{hash: pinned} of stored entries, including those marked for eviction."""

    def stats(self) -> Stats: ...

    def write_batch(
        self, puts: Sequence[Put], orders: Sequence[orders.Order], *, caught_up: bool = True
    ) -> Change:
        """Apply one batch in one transaction. Repeatable.

        `caught_up`: every touch ordered before the last batch was applied or is in this one, so that entries
        marked by then may be evicted. Raises StoreUnavailable, with nothing changed, or StoreDamaged.
        """

    def free_pages(self) -> bool:
        """Return some unused space to the file system. Whether another call would return more."""

    def replace_damaged(self) -> SetAside:
        """Set corrupt storage aside and start with an empty one."""

    def lost_pins(self) -> list[str]:
        """Hashes of the entries that were pinned in storage set aside."""


@cache
def store_for(alias: str) -> SqliteStore:
    """This process's store of an alias. Damaged entries that it finds are ordered to be removed."""

    def report_damaged(hash_hex: str) -> None:
        try:
            with redis_clients.sync() as redis:
                orders.verify(redis, alias, [hash_hex])
        except RedisError as exc:  # the next read finds it damaged again
            logger.warning("%s: cannot order the removal of %s: %s", alias, hash_hex, type(exc).__name__)

    path = Path(settings.DATABASES[alias]["NAME"])
    return SqliteStore(path, settings.AUDIO_LIMITS[alias], alias=alias, report_damaged=report_damaged)
