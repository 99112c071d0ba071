"""One object for each event loop: clients, connections and registries that tasks of one loop share."""

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Calling it returns the object of the running event loop, made by `factory` on first use.

    Objects of closed loops are dropped when an object for another loop is made. Weak keys would keep them,
    since an object refers to its loop.
    """

    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._objects: dict[asyncio.AbstractEventLoop, T] = {}
        self._lock = threading.Lock()

    def __call__(self) -> T:
        loop = asyncio.get_running_loop()
        try:
            return self._objects[loop]
        except KeyError:
            return self._make(loop)

    def pop(self) -> T | None:
        """Forget the object of the running event loop and return it, for the caller to close."""
        with self._lock:
            return self._objects.pop(asyncio.get_running_loop(), None)

    def _make(self, loop: asyncio.AbstractEventLoop) -> T:
        made = self._factory()
        with self._lock:  # event loops of other threads do the same
            for other in [other for other in self._objects if other.is_closed()]:
                del self._objects[other]
            self._objects[loop] = made
        return made
