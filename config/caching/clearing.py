"""All caches of this process by name, and how to clear one of them in every process."""

from collections.abc import Mapping
from typing import Protocol

from config.caching.bus import subscribe
from config.caching.epochs import announce
from config.caching.memory import caches
from config.caching.response import response_caches

CLEAR = "clear:"


class Cache(Protocol):
    name: str
    max_bytes: int

    def __len__(self) -> int: ...

    @property
    def size(self) -> int: ...

    def flush(self) -> None: ...


def all_caches() -> Mapping[str, Cache]:
    known: dict[str, Cache] = {**caches(), **response_caches()}
    return dict(sorted(known.items()))


def flush_all() -> None:
    """Forget everything that this process remembers. For tests, from one to the next."""
    for cache in all_caches().values():
        cache.flush()


def clear(name: str) -> bool:
    """Empty it in every process, and its level in Redis if it has one. False: Redis is away."""
    return announce(CLEAR + _as_subject(name))


def _as_subject(name: str) -> str:
    return name.replace(" ", "-")


def _heard(event: str) -> None:
    for name, cache in caches().items():  # response caches follow this themselves: their epochs go with it
        if CLEAR + _as_subject(name) == event:
            cache.flush()


subscribe(f"{CLEAR}*", _heard)
