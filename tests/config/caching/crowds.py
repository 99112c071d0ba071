"""Concurrent callers, controllable fetches, and naive caches as controls."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

THREADS = 10
RUNS = 40


def in_threads(call, count=THREADS):
    """Call in `count` threads at the same time, and return all results. An exception is a result."""
    start = threading.Barrier(count)

    def one():
        start.wait()
        try:
            return call()
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(one) for _ in range(count)]]


class Source:
    """A source that counts its fetches. They are slow enough for other callers to arrive."""

    def __init__(self, value="value", seconds=0.002):
        self.value = value
        self.seconds = seconds
        self.fetches = 0
        self._lock = threading.Lock()

    def fetch(self):
        with self._lock:
            self.fetches += 1
        value = self.value
        time.sleep(self.seconds)
        if isinstance(value, BaseException):
            raise value
        return value

    async def afetch(self):
        self.fetches += 1
        value = self.value
        await asyncio.sleep(self.seconds)
        if isinstance(value, BaseException):
            raise value
        return value


class Gate:
    """A fetch that waits until `opened`, then returns the value at its start."""

    def __init__(self, value):
        self.value = value
        self.started = asyncio.Event()
        self.opened = asyncio.Event()
        self.fetches = 0

    async def fetch(self):
        self.fetches += 1
        value = self.value
        self.started.set()
        await self.opened.wait()
        if isinstance(value, BaseException):
            raise value
        return value


# --- Controls: naive caches -----------------------------------------------------------------------------


class NoLock:
    """Look up, fetch, keep, without a lock."""

    def __init__(self):
        self.kept = {}

    def get_or_fetch(self, key, fetch):
        if key not in self.kept:
            self.kept[key] = fetch()
        return self.kept[key]


class LockAroundFetch:
    """A lock around the fetch without a second look-up: all waiting callers fetch one after the other."""

    def __init__(self):
        self.kept = {}
        self.lock = threading.Lock()

    def get_or_fetch(self, key, fetch):
        if key in self.kept:
            return self.kept[key]
        with self.lock:
            self.kept[key] = fetch()
        return self.kept[key]


class LeaderFetches:
    """The first caller fetches in its own task, and the others wait for its future."""

    def __init__(self):
        self.under_way = {}

    async def aget_or_fetch(self, key, fetch):
        if key in self.under_way:
            return await self.under_way[key]
        future = self.under_way[key] = asyncio.get_running_loop().create_future()
        try:
            future.set_result(await fetch())
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
            raise
        finally:
            del self.under_way[key]
        return future.result()


class NoGeneration:
    """Keeps each fetched value, also after an invalidation during the fetch."""

    def __init__(self):
        self.kept = {}

    async def aget_or_fetch(self, key, fetch):
        if key not in self.kept:
            self.kept[key] = await fetch()
        return self.kept[key]

    def invalidate(self, key):
        self.kept.pop(key, None)
