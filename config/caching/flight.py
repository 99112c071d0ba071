"""Single flight: concurrent callers of one key share a single fetch and its result."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Missing(Enum):
    """The absence of a value, since None, False, 0 and empty collections are values."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class FetchAbandoned(Exception):
    """The fetch was cancelled, so there is no result and no error of the fetch itself."""


class _Flight(Generic[V]):
    """One fetch. Its future belongs to no event loop, so threads and tasks of any loop can wait for it."""

    __slots__ = ("fetcher", "future", "traceback")

    def __init__(self) -> None:
        self.future: Future[V] = Future()
        # From here on it cannot be cancelled, or one cancelled caller would cancel it for all.
        self.future.set_running_or_notify_cancel()
        self.fetcher: object = None  # the task, or the id of the thread
        self.traceback: TracebackType | None = None

    def result(self) -> V:
        """Blocks until the fetch has ended. Raises the exception of the fetch."""
        error = self.future.exception()
        if error is not None:
            # The original traceback: each caller that raises the exception again would add frames to it.
            raise error.with_traceback(self.traceback)
        return self.future.result()

    async def aresult(self) -> V:
        fetcher = self.fetcher
        if isinstance(fetcher, asyncio.Task) and fetcher.get_loop() is asyncio.get_running_loop():
            # Several times cheaper than waking another loop. `_task_ended` has run by then: it was added
            # first.
            await asyncio.wait((fetcher,))
            return self.result()
        return await asyncio.wrap_future(self.future)


class Flights(Generic[K, V]):
    """Fetches in progress by key, for threads and tasks of any event loop, also mixed for one key.

    A key is present from its first caller until its fetch ends or is detached. Subclasses that cache results
    override `_recall` and `_keep`, which run under the lock, so that look-up and change are one step.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[K, _Flight[V]] = {}
        self._tasks: set[asyncio.Task[V]] = (
            set()
        )  # strong references, or they could be collected before they end

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    @property
    def tasks(self) -> frozenset[asyncio.Task[V]]:
        """The tasks of fetches in progress."""
        return frozenset(self._tasks)

    def fetch_once(self, key: K, fetch: Callable[[], V]) -> V:
        """The result of `fetch()`, shared with all concurrent callers; so is an exception. Blocks.

        The first caller runs the fetch; when it is interrupted, another one does.
        """
        while True:
            flight, is_first = self.join(key)
            if is_first:
                return self._fetch_here(key, flight, fetch)
            _refuse_deadlock(flight)
            try:
                return flight.result()
            except FetchAbandoned:
                continue

    async def afetch_once(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        """Like `fetch_once`, for tasks. The fetch is a separate task, which outlives cancelled callers."""
        while True:
            flight, is_first = self.join(key)
            if is_first:
                self._fetch_in_task(key, flight, fetch)
            elif flight.fetcher is asyncio.current_task():
                raise RuntimeError("A fetch waits for itself.")
            try:
                return await flight.aresult()
            except FetchAbandoned:
                if is_first:  # otherwise a fetch that is always cancelled would be repeated without end
                    raise

    def begin(self, key: K, fetch: Callable[[], Awaitable[V]]) -> None:
        """Start a fetch in the background, unless one is in progress."""
        flight, is_first = self.join(key)
        if is_first:
            self._fetch_in_task(key, flight, fetch)

    # --- Hooks for subclasses that cache; called under the lock ----------------------------------------

    def _recall(self, key: K) -> V | Missing:
        """The cached value. Read again here, since a fetch may have ended after the caller's look-up."""
        return MISSING

    def _keep(self, key: K, value: V) -> None:
        """Cache a result. Not called for a detached fetch."""

    def _detach(self, key: K) -> None:
        """Let a fetch in progress serve its present callers only: its result is not kept."""
        self._under_way.pop(key, None)

    def _detach_all(self) -> None:
        self._under_way.clear()

    # --- Fetching --------------------------------------------------------------------------------------

    def join(self, key: K) -> tuple[_Flight[V], bool]:
        """The flight of this key, and whether the caller has to fetch. Called once by each caller."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight, False
            flight = _Flight()
            value = self._recall(key)
            if value is MISSING:
                self._under_way[key] = flight
                return flight, True
        flight.future.set_result(value)
        return flight, False

    def _fetch_here(self, key: K, flight: _Flight[V], fetch: Callable[[], V]) -> V:
        flight.fetcher = threading.get_ident()
        try:
            value = fetch()
        except StopIteration as error:  # a future of asyncio cannot hold one: waiting tasks would never wake
            fault = RuntimeError("The fetch raised StopIteration.")
            self._fail(key, flight, fault)
            raise fault from error
        except Exception as error:
            self._fail(key, flight, error)
            raise
        except BaseException:  # Ctrl-C concerns only this thread
            self._fail(key, flight, FetchAbandoned())
            raise
        self._complete(key, flight, value)
        return value

    def _fetch_in_task(self, key: K, flight: _Flight[V], fetch: Callable[[], Awaitable[V]]) -> None:
        task = asyncio.create_task(_run(fetch))
        flight.fetcher = task
        self._tasks.add(task)
        # A `finally` inside would not run for a task that is cancelled before its first step.
        task.add_done_callback(partial(self._task_ended, key, flight))

    def _task_ended(self, key: K, flight: _Flight[V], task: asyncio.Task[V]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._fail(key, flight, FetchAbandoned())
        elif (error := task.exception()) is not None:
            self._fail(key, flight, error)
        else:
            self._complete(key, flight, task.result())

    def _complete(self, key: K, flight: _Flight[V], value: V) -> None:
        with self._lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]
                self._keep(key, value)
        flight.future.set_result(value)

    def _fail(self, key: K, flight: _Flight[V], error: BaseException) -> None:
        with self._lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]
        flight.traceback = error.__traceback__
        flight.future.set_exception(error)


async def _run(fetch: Callable[[], Awaitable[V]]) -> V:
    return await fetch()


def _refuse_deadlock(flight: _Flight[V]) -> None:
    """Refuse to block a thread on its own fetch, or an event loop on the fetch of one of its tasks."""
    fetcher = flight.fetcher
    if fetcher == threading.get_ident():
        raise RuntimeError("A fetch waits for itself.")
    if isinstance(fetcher, asyncio.Task) and fetcher.get_loop() is asyncio._get_running_loop():
        raise RuntimeError("A thread would wait for a task of its own event loop.")
