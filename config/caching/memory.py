"""In-process cache, bounded in bytes and time, with single flight and invalidation.

There is no `put`: values enter through fetches only, whose start is known, so that a value whose fetch began
before an invalidation is not kept after it.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from config.caching.flight import MISSING, Flights, Missing
from config.caching.footprint import footprint
from config.observability import metrics

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")

ENTRY_BYTES = 250  # overhead of an entry

LOOKUPS = metrics.counter("cache_lookups", "Look-ups in a memory cache", ["cache", "outcome"])
REBUILDS = metrics.counter("cache_rebuilds", "Fetches for a memory cache", ["cache"])
REBUILD_SECONDS = metrics.histogram("cache_rebuild_seconds", "Duration of a fetch for a cache", ["cache"])
INVALIDATIONS = metrics.counter("cache_invalidations", "Invalidated entries and flushes", ["cache"])
EVICTIONS = metrics.counter("cache_evictions", "Entries removed for lack of room", ["cache"])
BYTES = metrics.gauge("cache_bytes", "Bytes in a memory cache", ["cache"])
ENTRIES = metrics.gauge("cache_entries", "Entries in a memory cache", ["cache"])

_caches: "WeakValueDictionary[str, MemoryCache[Hashable, object]]" = WeakValueDictionary()


def caches() -> Mapping[str, "MemoryCache[Hashable, object]"]:
    """The memory caches of this process, by name."""
    return dict(_caches)


@dataclass(frozen=True, slots=True)
class CacheEntry(Generic[V]):
    value: V
    expires: float
    size: int


class MemoryCache(Generic[K, V]):
    """An LRU cache. Safe from threads and from tasks of any event loop.

    `lifetime` returns the longest life of a value in seconds, where that depends on the value; 0 keeps it
    out. Callers share the value and must not change it.
    """

    def __init__(
        self,
        name: str,
        *,
        max_bytes: int,
        seconds: float,
        lifetime: Callable[[V], float] | None = None,
        size_of: Callable[[object], int] = footprint,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self._seconds = seconds
        self._lifetime = lifetime
        self._size_of = size_of
        self._memory: Memory[K, V] = Memory(max_bytes, clock, EVICTIONS.labels(name).inc)
        self._hits = LOOKUPS.labels(name, "hit")
        self._misses = LOOKUPS.labels(name, "miss")
        self._rebuilds = REBUILDS.labels(name)
        self._rebuild_seconds = REBUILD_SECONDS.labels(name)
        self._invalidations = INVALIDATIONS.labels(name)
        self._bytes = BYTES.labels(name)
        self._entries = ENTRIES.labels(name)
        _caches[name] = self  # type: ignore[assignment]  # of any key and value type

    def __len__(self) -> int:
        return len(self._memory.entries)

    @property
    def size(self) -> int:
        """In bytes."""
        return self._memory.size

    @property
    def under_way(self) -> int:
        """Number of fetches in progress."""
        return self._memory.under_way

    def get(self, key: K, default: D) -> V | D:
        """The cached value, or `default`. Never fetches."""
        entry = self._memory.look(key)
        if entry is MISSING:
            self._misses.inc()
            return default
        self._hits.inc()
        return entry.value

    def get_or_fetch(self, key: K, fetch: Callable[[], V]) -> V:
        """The cached value, or the result of one `fetch()` for concurrent callers. Errors are not kept."""
        entry = self._memory.look(key)
        if entry is not MISSING:
            self._hits.inc()
            return entry.value
        self._misses.inc()

        def make() -> CacheEntry[V]:
            began = self._begin()
            with self._rebuild_seconds.time():
                value = fetch()
            return self._entry(key, value, began)

        entry = self._memory.fetch_once(key, make)
        self._export()
        return entry.value

    async def aget_or_fetch(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        """Like `get_or_fetch`, for tasks. Cancelling a caller does not cancel the fetch."""
        entry = self._memory.look(key)
        if entry is not MISSING:
            self._hits.inc()
            return entry.value
        self._misses.inc()

        async def make() -> CacheEntry[V]:
            began = self._begin()
            with self._rebuild_seconds.time():
                value = await fetch()
            return self._entry(key, value, began)

        entry = await self._memory.afetch_once(key, make)
        self._export()
        return entry.value

    def invalidate(self, *keys: K) -> None:
        """Drop these keys and detach their fetches in progress."""
        self._memory.forget(keys)
        self._invalidations.inc(len(keys))
        self._export()

    def invalidate_if(self, is_stale: Callable[[K, V], bool]) -> None:
        """Drop stale entries and detach all fetches in progress, whose values are not known yet."""
        self._invalidations.inc(self._memory.forget_if(lambda key, entry: is_stale(key, entry.value)))
        self._export()

    def flush(self) -> None:
        """Drop all entries and detach all fetches in progress."""
        self._memory.forget_all()
        self._invalidations.inc()
        self._export()

    def _begin(self) -> float:
        self._rebuilds.inc()
        return self._memory.clock()

    def _entry(self, key: K, value: V, began: float) -> CacheEntry[V]:
        # From the start of the fetch: the data may have changed since it was read.
        expires = began + self._seconds
        if self._lifetime is not None:
            expires = min(expires, self._memory.clock() + self._lifetime(value))
        return CacheEntry(value, expires, ENTRY_BYTES + self._size_of(key) + self._size_of(value))

    def _export(self) -> None:
        self._bytes.set(self._memory.size)
        self._entries.set(len(self._memory.entries))


class Memory(Flights[K, CacheEntry[V]]):
    """Entries and fetches in progress, under one lock."""

    def __init__(self, max_bytes: int, clock: Callable[[], float], on_evict: Callable[[], None]) -> None:
        super().__init__()
        self.entries: OrderedDict[K, CacheEntry[V]] = OrderedDict()
        self.size = 0
        self._max_bytes = max_bytes
        self.clock = clock
        self._on_evict = on_evict

    def look(self, key: K) -> CacheEntry[V] | Missing:
        with self._lock:
            return self._recall(key)

    def forget(self, keys: tuple[K, ...]) -> None:
        with self._lock:
            for key in keys:
                self._detach(key)
                self._drop(key)

    def forget_if(self, is_stale: Callable[[K, CacheEntry[V]], bool]) -> int:
        with self._lock:
            self._detach_all()
            stale = [key for key, entry in self.entries.items() if is_stale(key, entry)]
            for key in stale:
                self._drop(key)
        return len(stale)

    def forget_all(self) -> None:
        with self._lock:
            self._detach_all()
            self.entries.clear()
            self.size = 0

    def _recall(self, key: K) -> CacheEntry[V] | Missing:
        entry = self.entries.get(key)
        if entry is None:
            return MISSING
        if entry.expires <= self.clock():
            self._drop(key)
            return MISSING
        self.entries.move_to_end(key)
        return entry

    def _keep(self, key: K, entry: CacheEntry[V]) -> None:
        self._drop(key)
        if entry.expires <= self.clock() or entry.size > self._max_bytes:
            return
        self.entries[key] = entry
        self.size += entry.size
        while self.size > self._max_bytes:
            _, evicted = self.entries.popitem(last=False)
            self.size -= evicted.size
            self._on_evict()

    def _drop(self, key: K) -> None:
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size
