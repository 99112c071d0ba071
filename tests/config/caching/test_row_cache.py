"""Row cache: reads in a thread, invalidation by events, flush after missed events."""

import asyncio
import threading

import pytest

from config.caching import RowCache
from config.caching.subscriptions import Subscriptions


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def bus():
    return Subscriptions()


@pytest.fixture
def make_cache(bus):
    def make(max_bytes=1_000_000, seconds=30.0, **options):
        return RowCache("rows", max_bytes=max_bytes, seconds=seconds, subscribe=bus.add, **options)

    return make


def keys_of(event):
    return [int(event.partition(":")[2])]


class Table:
    """Counts reads and records the threads that read."""

    def __init__(self):
        self.reads = []
        self.threads = set()

    def read(self, key):
        self.reads.append(key)
        self.threads.add(threading.get_ident())
        return f"row {key}"


# --- Reading --------------------------------------------------------------------------------------------


def test_a_value_is_read_once(make_cache):
    cache, table = make_cache(), Table()

    assert [cache.read(1, table.read), cache.read(1, table.read)] == ["row 1", "row 1"]
    assert table.reads == [1]


async def test_tasks_and_threads_share_values(make_cache):
    cache, table = make_cache(), Table()

    assert await cache.aread(1, table.read) == "row 1"
    assert cache.read(1, table.read) == "row 1"
    assert table.reads == [1]


async def test_tasks_read_in_another_thread(make_cache):
    table = Table()

    await make_cache().aread(1, table.read)

    assert threading.get_ident() not in table.threads


async def test_concurrent_tasks_read_once(make_cache):
    cache, table = make_cache(), Table()

    rows = await asyncio.gather(*(cache.aread(1, table.read) for _ in range(50)))

    assert (set(rows), table.reads) == ({"row 1"}, [1])


def test_peek_never_reads(make_cache):
    cache, table = make_cache(), Table()
    assert cache.peek(1) is None

    cache.read(1, table.read)

    assert (cache.peek(1), table.reads) == ("row 1", [1])


def test_an_exception_is_raised_and_not_cached(make_cache):
    cache, table = make_cache(), Table()
    with pytest.raises(ZeroDivisionError):
        cache.read(1, lambda key: 1 // 0)

    assert cache.read(1, table.read) == "row 1"


# --- Bounds ---------------------------------------------------------------------------------------------


def test_values_expire(make_cache):
    clock, table = Clock(), Table()
    cache = make_cache(seconds=30, clock=clock)
    cache.read(1, table.read)

    clock.now += 30

    assert cache.peek(1) is None


def test_a_value_may_have_a_shorter_lifetime(make_cache):
    clock = Clock()
    cache = make_cache(lifetime=float, clock=clock)
    for seconds in (0, 5, 500):
        cache.read(seconds, int)

    assert [cache.peek(key) for key in (0, 5, 500)] == [None, 5, 500]
    clock.now += 5
    assert [cache.peek(key) for key in (0, 5, 500)] == [None, None, 500]
    clock.now += 25
    assert cache.peek(500) is None


def test_the_size_is_bounded(make_cache):
    cache, table = make_cache(max_bytes=10_000), Table()

    for key in range(1000):
        cache.read(key, table.read)

    assert 0 < cache.size <= 10_000
    assert (cache.peek(0), cache.peek(999)) == (None, "row 999")


# --- Invalidation ---------------------------------------------------------------------------------------


@pytest.fixture
def filled(make_cache):
    cache, table = make_cache(), Table()
    for key in (1, 2, 3):
        cache.read(key, table.read)
    return cache


def cached(cache):
    return [key for key in (1, 2, 3) if cache.peek(key)]


def test_an_event_invalidates_its_keys(filled, bus):
    filled.invalidate_on("row:*", "owner:*", keys=keys_of)

    bus.notify(["row:2", "other:1"])
    assert cached(filled) == [1, 3]
    bus.notify(["owner:3"])
    assert cached(filled) == [1]


def test_an_event_invalidates_what_it_makes_stale(filled, bus):
    filled.invalidate_if_on("at least:*", is_stale=lambda event, key, _: key >= keys_of(event)[0])

    bus.notify(["at least:2"])

    assert cached(filled) == [1]


def test_an_event_flushes_the_cache(filled, bus):
    filled.flush_on("all")

    bus.notify(["all:1"])
    assert cached(filled) == [1, 2, 3]
    bus.notify(["all"])
    assert cached(filled) == []


@pytest.mark.parametrize("event", ["row:1", "stale:1", "all"])
def test_a_value_read_before_the_event_is_returned_and_not_cached(make_cache, bus, event):
    cache = make_cache()
    cache.invalidate_on("row:*", keys=keys_of)
    cache.invalidate_if_on("stale:*", is_stale=lambda *_: False)
    cache.flush_on("all")

    def read(key):
        bus.notify([event])
        return "old"

    assert cache.read(1, read) == "old"
    assert cache.peek(1) is None


def test_other_keys_may_be_read_while_an_event_invalidates_some(make_cache, bus):
    cache = make_cache()
    cache.invalidate_on("row:*", keys=keys_of)

    def read(key):
        bus.notify(["row:2"])
        return "current"

    cache.read(1, read)
    assert cache.peek(1) == "current"


def test_missed_events_flush_the_cache(filled, bus):
    filled.invalidate_on("row:*", keys=keys_of)

    bus.notify_missed()

    assert cached(filled) == []


def test_missed_events_flush_the_cache_once(make_cache, bus, monkeypatch):
    cache, flushes = make_cache(), []
    monkeypatch.setattr(cache, "flush", lambda: flushes.append(cache))
    cache.invalidate_on("row:*", "owner:*", keys=keys_of)
    cache.flush_on("all")

    bus.notify_missed()

    assert flushes == [cache]
