"""The caches of this process by name, and clearing of one of them in every process."""

from collections.abc import Mapping
from typing import Protocol

from config.caching.bus import subscribe
from config.caching.epochs import announce
from config.caching.memory import caches
from config.caching.response import response_caches

CLEAR = "clear:"


class ClearableCache(Protocol):
    name: str
    max_bytes: int

    def __len__(self) -> int: ...

    @property
    def size(self) -> int: ...

    def flush(self) -> None: ...


def all_caches() -> Mapping[str, ClearableCache]:
    known: dict[str, ClearableCache] = {**caches(), **response_caches()}
    return dict(sorted(known.items()))


def flush_all() -> None:
    """Flush all caches of this process. For tests."""
    for cache in all_caches().values():
        cache.flush()


def clear(name: str) -> bool:
    """Flush the cache in every process, and its shared level in Redis. Returns False without Redis."""
    return announce(CLEAR + _as_subject(name))


def _as_subject(name: str) -> str:
    return name.replace(" ", "-")


def _flush_cleared(event: str) -> None:
    for name, cache in caches().items():  # response caches subscribe themselves, with their epochs
        if CLEAR + _as_subject(name) == event:
            cache.flush()


subscribe(f"{CLEAR}*", _flush_cleared)
