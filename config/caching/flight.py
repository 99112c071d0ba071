"""Single flight: of many who want the same thing at the same time one fetches it, and all get it."""

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
    """None is a value, like False, 0 and all that is empty; this is none."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class FetchAbandoned(Exception):
    """The fetch was cancelled from outside, which says nothing of what was to be fetched."""


class _Flight(Generic[V]):
    """One fetch. Its future belongs to no event loop: threads and tasks of any loop can wait for it."""

    __slots__ = ("fetcher", "landed", "traceback")

    def __init__(self) -> None:
        self.landed: Future[V] = Future()
        # From here on it cannot be cancelled: a waiter who gives up would cancel it for everybody.
        self.landed.set_running_or_notify_cancel()
        self.fetcher: object = None  # the task, or the id of the thread
        self.traceback: TracebackType | None = None

    def result(self) -> V:
        """Blocks until it has landed; raises what the fetch raised."""
        error = self.landed.exception()
        if error is not None:
            # As it was: each of hundreds who raise the same exception would add frames to it.
            raise error.with_traceback(self.traceback)
        return self.landed.result()

    async def aresult(self) -> V:
        fetcher = self.fetcher
        if isinstance(fetcher, asyncio.Task) and fetcher.get_loop() is asyncio.get_running_loop():
            # Several times cheaper than what wakes other loops. It has landed then: that callback was first.
            await asyncio.wait((fetcher,))
            return self.result()
        return await asyncio.wrap_future(self.landed)


class Flights(Generic[K, V]):
    """For threads and for tasks of any event loop, also both at once for one key.

    A key is known from the first caller until its fetch ends or is detached; then nothing remains of it.
    A subclass may remember: nobody comes between its look and its deed, since both are under the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[K, _Flight[V]] = {}
        self._tasks: set[asyncio.Task[V]] = set()  # held, or they could be collected before they end

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    def fetch_once(self, key: K, fetch: Callable[[], V]) -> V:
        """`fetch()`, or what somebody else is fetching now; what it raises reaches all who wait.

        For threads: it blocks. The first caller fetches; if that one is stopped, another does.
        """
        while True:
            flight, is_first = self._join(key)
            if is_first:
                return self._fetch_here(key, flight, fetch)
            _refuse_deadlock(flight)
            try:
                return flight.result()
            except FetchAbandoned:
                continue

    async def afetch_once(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        """The same for tasks. The fetch is a task of its own, which runs to its end whoever gives up."""
        while True:
            flight, is_first = self._join(key)
            if is_first:
                self._fetch_in_task(key, flight, fetch)
            elif flight.fetcher is asyncio.current_task():
                raise RuntimeError("A fetch waits for itself.")
            try:
                return await flight.aresult()
            except FetchAbandoned:
                if is_first:  # or a fetch that is always cancelled would be repeated for ever
                    raise

    def begin(self, key: K, fetch: Callable[[], Awaitable[V]]) -> None:
        """Fetch in a task of its own, for which nobody has to wait. Nothing if that is under way."""
        flight, is_first = self._join(key)
        if is_first:
            self._fetch_in_task(key, flight, fetch)

    # --- What a memory adds; the lock is held ----------------------------------------------------------

    def _recall(self, key: K) -> V | Missing:
        """What is remembered of the key. Asked again here, since a flight may have landed since the look."""
        return MISSING

    def _keep(self, key: K, value: V) -> None:
        """Remember what was fetched. Not called for a flight that was detached."""

    def _detach(self, key: K) -> None:
        """What is being fetched reaches those who wait for it, and nobody who comes later."""
        self._under_way.pop(key, None)

    def _detach_all(self) -> None:
        self._under_way.clear()

    # --- Taking off and landing ------------------------------------------------------------------------

    def _join(self, key: K) -> tuple[_Flight[V], bool]:
        """The flight of this key, and whether the caller has to fetch."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight, False
            flight = _Flight()
            value = self._recall(key)
            if value is MISSING:
                self._under_way[key] = flight
                return flight, True
        flight.landed.set_result(value)
        return flight, False

    def _fetch_here(self, key: K, flight: _Flight[V], fetch: Callable[[], V]) -> V:
        flight.fetcher = threading.get_ident()
        try:
            value = fetch()
        except StopIteration as error:  # no task can be given one: those who wait would wait for ever
            fault = RuntimeError("The fetch raised StopIteration.")
            self._fail(key, flight, fault)
            raise fault from error
        except Exception as error:
            self._fail(key, flight, error)
            raise
        except BaseException:  # Ctrl-C is meant for this thread alone
            self._fail(key, flight, FetchAbandoned())
            raise
        self._land(key, flight, value)
        return value

    def _fetch_in_task(self, key: K, flight: _Flight[V], fetch: Callable[[], Awaitable[V]]) -> None:
        task = asyncio.create_task(_run(fetch))
        flight.fetcher = task
        self._tasks.add(task)
        # Not a `finally` inside: a task that is cancelled before its first step never gets there.
        task.add_done_callback(partial(self._task_ended, key, flight))

    def _task_ended(self, key: K, flight: _Flight[V], task: asyncio.Task[V]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._fail(key, flight, FetchAbandoned())
        elif (error := task.exception()) is not None:
            self._fail(key, flight, error)
        else:
            self._land(key, flight, task.result())

    def _land(self, key: K, flight: _Flight[V], value: V) -> None:
        with self._lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]
                self._keep(key, value)
        flight.landed.set_result(value)

    def _fail(self, key: K, flight: _Flight[V], error: BaseException) -> None:
        with self._lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]
        flight.traceback = error.__traceback__
        flight.landed.set_exception(error)


async def _run(fetch: Callable[[], Awaitable[V]]) -> V:
    return await fetch()


def _refuse_deadlock(flight: _Flight[V]) -> None:
    """Neither a thread that fetches nor the event loop of such a task may stand still for its own fetch."""
    fetcher = flight.fetcher
    if fetcher == threading.get_ident():
        raise RuntimeError("A fetch waits for itself.")
    if isinstance(fetcher, asyncio.Task) and fetcher.get_loop() is asyncio._get_running_loop():
        raise RuntimeError("A thread would wait for a task of its own event loop.")
