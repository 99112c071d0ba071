"""One object for each event loop: clients, connections and registries that tasks of one loop share."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Calling it returns the object of the running event loop, made by `factory` on first use.

    With `close`, the object is closed when its loop shuts down, also in the short-lived loops that run
    asynchronous code for synchronous callers. Objects of closed loops are dropped when an object for another
    loop is made. Weak keys would keep them, since an object refers to its loop.
    """

    def __init__(
        self, factory: Callable[[], T], *, close: Callable[[T], Awaitable[None]] | None = None
    ) -> None:
        self._factory = factory
        self._close = close
        self._objects: dict[asyncio.AbstractEventLoop, T] = {}
        self._closers: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
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
                self._closers.pop(other, None)
            self._objects[loop] = made
            if self._close is not None and loop not in self._closers:
                self._closers[loop] = self._begin_closer()
        return made

    def _begin_closer(self) -> AsyncGenerator[None, None]:
        """A suspended generator: every runner of event loops closes those before it closes the loop."""
        closer = self._close_at_shutdown()
        with contextlib.suppress(StopIteration):  # the first step suspends without waiting for anything
            closer.__anext__().__await__().send(None)
        return closer

    async def _close_at_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            made = self.pop()
            if made is not None and self._close is not None:
                await self._close(made)
