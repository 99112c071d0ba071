"""Statistics and verification of audio stores, beside a running service."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from redis import Redis

from audiocache import persister
from audiocache.store import Store

AT_ONCE = 20  # entries between two pauses


def statistics(store: Store, redis: Redis) -> dict[str, Any]:
    """Statistics of one store, sizes in bytes. `set_aside`: how often corrupt storage was replaced."""
    stats = store.stats()
    return {
        "alias": store.alias,
        "entries": stats.entries,
        "bytes": stats.bytes,
        "limit": stats.limit,
        "pinned_bytes": stats.pinned_bytes,
        **store.space(),
        "oldest_access": store.oldest_access(),  # seconds since 1970
        "set_aside": persister.replacements(redis, store.alias),
    }


class ThrottledReader:
    """Verifies every entry, reading at a limited rate."""

    def __init__(
        self,
        store: Store,
        bytes_per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._rate = bytes_per_second
        self._clock = clock
        self._sleep = sleep

    def entries(self) -> Iterator[tuple[str, int, bool]]:
        """Hash, size in bytes, and whether the entry is undamaged."""
        read, begun = 0, self._clock()
        for number, record in enumerate(self._store.records(), 1):
            yield record.hash, record.size, self._store.is_undamaged(record.hash)
            read += record.size
            if number % AT_ONCE == 0:
                self._sleep(max(0.0, read / self._rate - (self._clock() - begun)))
