"""Row cache: a memory cache of values read from a database and invalidated by events.

Callers share the values, which must be immutable. A row cache is created at import and lives as long as the
process: its subscriptions are never removed.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial

from config.caching.bus import subscribe as subscribe_to_bus
from config.caching.footprint import footprint
from config.caching.memory import K, MemoryCache, V
from config.database.offload import offload

Subscribe = Callable[[str, Callable[[str], None], Callable[[], None] | None], object]


class RowCache(MemoryCache[K, V]):
    """A memory cache with reads in a thread and invalidation by events.

    Patterns are those of `caching.subscribe`: an event, or a prefix and an asterisk. A cache that has any
    is also flushed when the bus may have missed events.
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
        subscribe: Subscribe = subscribe_to_bus,
    ) -> None:
        super().__init__(
            name, max_bytes=max_bytes, seconds=seconds, lifetime=lifetime, size_of=size_of, clock=clock
        )
        self._subscribe = subscribe
        self._is_subscribed = False

    # --- Reading ----------------------------------------------------------------------------------------

    def peek(self, key: K) -> V | None:
        """The cached value, or None. Never reads."""
        return self.get(key, None)

    def read(self, key: K, read: Callable[[K], V]) -> V:
        """The cached value, or the result of `read(key)`, called once for all concurrent callers. Blocks."""
        return self.get_or_fetch(key, partial(read, key))

    async def aread(self, key: K, read: Callable[[K], V]) -> V:
        """Like `read`, for tasks. `read` is synchronous and runs in a thread."""
        return await self.aget_or_fetch(key, partial(offload, read, key))

    # --- Invalidation -----------------------------------------------------------------------------------

    def invalidate_on(self, *patterns: str, keys: Callable[[str], Iterable[K]]) -> None:
        """Invalidate `keys(event)`, including reads of these keys in progress."""
        self._follow(patterns, lambda event: self.invalidate(*keys(event)))

    def invalidate_if_on(self, *patterns: str, is_stale: Callable[[str, K, V], bool]) -> None:
        """Invalidate the entries for which `is_stale(event, key, value)`, and all reads in progress."""

        def invalidate(event: str) -> None:
            self.invalidate_if(lambda key, value: is_stale(event, key, value))

        self._follow(patterns, invalidate)

    def flush_on(self, *patterns: str) -> None:
        """Flush the cache."""
        self._follow(patterns, lambda event: self.flush())

    def _follow(self, patterns: Iterable[str], on_event: Callable[[str], None]) -> None:
        for pattern in patterns:
            self._subscribe(pattern, on_event, None if self._is_subscribed else self.flush)
            self._is_subscribed = True
