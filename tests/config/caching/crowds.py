"""Many callers at the same moment, fetches that wait for them, and caches without a guard."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

THREADS = 10
RUNS = 40


def in_threads(call, count=THREADS):
    """What each of so many threads got, all starting at once; an exception is an answer."""
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
    """What is fetched; counts how often. Slow enough for others to come meanwhile."""

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
    """A fetch that answers when it is let to, with what was true when it began."""

    def __init__(self, value):
        self.value = value
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()
        self.fetches = 0

    async def fetch(self):
        self.fetches += 1
        value = self.value
        self.begun.set()
        await self.opened.wait()
        if isinstance(value, BaseException):
            raise value
        return value


# --- Controls: what people write first ------------------------------------------------------------------


class NoLock:
    """Look, fetch, keep."""

    def __init__(self):
        self.kept = {}

    def get_or_fetch(self, key, fetch):
        if key not in self.kept:
            self.kept[key] = fetch()
        return self.kept[key]


class LockAroundFetch:
    """A lock for each key that nobody looks behind: all who waited at it fetch again, one after the other."""

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
    """Keeps what it fetched, whatever was said meanwhile."""

    def __init__(self):
        self.kept = {}

    async def aget_or_fetch(self, key, fetch):
        if key not in self.kept:
            self.kept[key] = await fetch()
        return self.kept[key]

    def invalidate(self, key):
        self.kept.pop(key, None)
