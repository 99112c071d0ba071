"""Memory cache: bounded in bytes and time, single flight, invalidation."""

import asyncio
import threading

import pytest

from config.caching import MISSING, MemoryCache, caches
from config.caching.footprint import footprint
from config.caching.memory import ENTRY_BYTES, EVICTIONS, INVALIDATIONS, LOOKUPS, REBUILDS, Memory
from tests.config.caching.crowds import (
    RUNS,
    THREADS,
    Gate,
    LockAroundFetch,
    NoGeneration,
    NoLock,
    Source,
    in_threads,
)
from tests.metrics import value_of


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def make_cache(name="test", max_bytes=1_000_000, seconds=30.0, **options):
    return MemoryCache(name, max_bytes=max_bytes, seconds=seconds, **options)


def entries_of(count, **options):
    """A cache for `count` entries."""
    return make_cache(max_bytes=count * (ENTRY_BYTES + 20), size_of=lambda _: 10, **options)


# --- Values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [False, 0, None, "", b"", (), [], {}])
async def test_false_zero_none_and_empty_are_values(value):
    cache, source = make_cache(), Source(value)

    cache.get_or_fetch("a", source.fetch)
    assert cache.get_or_fetch("a", source.fetch) == value
    assert await cache.aget_or_fetch("a", source.afetch) == value
    assert (cache.get("a", MISSING), source.fetches) == (value, 1)


def test_a_key_without_fetch_is_missing():
    assert make_cache().get("a", MISSING) is MISSING


def test_an_exception_is_not_kept():
    cache = make_cache()
    with pytest.raises(LookupError):
        cache.get_or_fetch("a", Source(LookupError()).fetch)

    assert cache.get_or_fetch("a", Source("back").fetch) == "back"


# --- Time -----------------------------------------------------------------------------------------------


def test_an_entry_expires():
    clock = Clock()
    cache = make_cache(seconds=30, clock=clock)
    cache.get_or_fetch("a", lambda: 1)

    clock.now += 29.9
    assert cache.get("a", None) == 1
    clock.now += 0.1
    assert (cache.get("a", None), len(cache), cache.size) == (None, 0, 0)


def test_a_value_may_expire_earlier_and_never_later():
    clock = Clock()
    cache = make_cache(seconds=30, lifetime=float, clock=clock)
    for value in (5, 500, 0):
        cache.get_or_fetch(value, lambda value=value: value)

    assert cache.get(0, None) is None
    clock.now += 10
    assert (cache.get(5, None), cache.get(500, None)) == (None, 500)
    clock.now += 20
    assert cache.get(500, None) is None


def test_the_time_counts_from_the_start_of_the_fetch():
    clock = Clock()
    cache = make_cache(seconds=30, clock=clock)

    def slow():
        clock.now += 20
        return 1

    cache.get_or_fetch("a", slow)
    clock.now += 10
    assert cache.get("a", None) is None


# --- Size -----------------------------------------------------------------------------------------------


def test_the_least_recently_used_entry_is_evicted():
    cache = entries_of(3)
    for key in "abc":
        cache.get_or_fetch(key, lambda: 1)
    cache.get("a", None)

    cache.get_or_fetch("d", lambda: 1)

    assert [key for key in "abcd" if cache.get(key, None)] == ["a", "c", "d"]


def test_bytes_are_counted_and_never_exceeded():
    cache = make_cache(max_bytes=100_000)
    for number in range(1000):
        cache.get_or_fetch(number, lambda number=number: bytes(number * 10))
        assert cache.size <= 100_000

    cached = [value for number in range(1000) if (value := cache.get(number, None)) is not None]
    assert len(cached) == len(cache)
    assert cache.size > 80_000
    assert cache.size > len(cached) * ENTRY_BYTES + sum(map(len, cached))


def test_a_value_that_is_too_large_is_returned_and_not_kept():
    cache = make_cache(max_bytes=1000)
    cache.get_or_fetch("small", lambda: 1)

    assert len(cache.get_or_fetch("large", lambda: bytes(2000))) == 2000
    assert (cache.get("large", None), cache.get("small", None)) == (None, 1)


@pytest.mark.parametrize("count", [5000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_many_keys_do_not_exceed_the_size(count):
    cache, source = make_cache(max_bytes=50_000), Source(seconds=0)
    for start in range(0, count, 1000):
        keys = range(start, start + 1000)
        await asyncio.gather(*(cache.aget_or_fetch(key, source.afetch) for key in keys))
        cache.invalidate(*keys[::2])

    assert (cache.under_way, source.fetches) == (0, count)
    assert len(cache) < 200


def test_the_footprint_includes_referenced_objects():
    class Plain:
        def __init__(self):
            self.text = "x" * 1000

    class Slotted:
        __slots__ = ("text",)

    slotted = Slotted()
    slotted.text = "y" * 1000
    loop = []
    loop.append(loop)

    for value in (
        ["x" * 1000],
        {"k": "x" * 1000},
        ({"x" * 1000},),
        Plain(),
        slotted,
        memoryview(bytes(1000)),
    ):
        assert 1000 < footprint(value) < 2500
    assert footprint(["x" * 1000] * 50) < 2500
    assert footprint(loop) < 200


# --- Concurrency ----------------------------------------------------------------------------------------


async def test_500_cold_callers_cause_one_fetch():
    cache, source = make_cache(), Source()

    answers = await asyncio.gather(*(cache.aget_or_fetch("a", source.afetch) for _ in range(500)))

    assert (source.fetches, set(answers)) == (1, {"value"})


def test_concurrent_threads_cause_one_fetch_in_every_run():
    cache = make_cache()
    for run in range(RUNS):
        source = Source(run)
        answers = in_threads(lambda run=run, source=source: cache.get_or_fetch(run, source.fetch))
        assert (answers, source.fetches) == ([run] * THREADS, 1)


@pytest.mark.parametrize("naive", [NoLock, LockAroundFetch])
def test_control_without_single_flight_there_are_several_fetches(naive):
    source = Source(seconds=0.05)
    cache = naive()

    in_threads(lambda: cache.get_or_fetch("a", source.fetch))

    assert source.fetches > 1


def test_a_look_up_just_before_the_end_of_a_fetch_does_not_fetch_again(monkeypatch):
    cache, source = make_cache(), Source()
    look = Memory.look

    def look_and_be_late(memory, key):
        found = look(memory, key)
        monkeypatch.undo()
        cache.get_or_fetch(key, source.fetch)
        return found

    monkeypatch.setattr(Memory, "look", look_and_be_late)

    assert cache.get_or_fetch("a", source.fetch) == "value"
    assert source.fetches == 1


async def test_cancelling_the_first_caller_causes_no_second_fetch():
    cache, gate = make_cache(), Gate("value")
    first, *others = [asyncio.create_task(cache.aget_or_fetch("a", gate.fetch)) for _ in range(10)]
    await gate.started.wait()

    first.cancel()
    gate.opened.set()

    assert await asyncio.gather(*others) == ["value"] * 9
    assert (gate.fetches, cache.get("a", None)) == (1, "value")


# --- Invalidation ---------------------------------------------------------------------------------------

FORGETTING = {
    "one key": lambda cache: cache.invalidate("a"),
    "many keys": lambda cache: cache.invalidate("x", "a", "y"),
    "by value": lambda cache: cache.invalidate_if(lambda key, value: key == "a"),
    "everything": lambda cache: cache.flush(),
}


@pytest.mark.parametrize("forget", FORGETTING.values(), ids=FORGETTING)
def test_an_invalidated_key_is_fetched_again(forget):
    cache = make_cache()
    cache.get_or_fetch("a", lambda: "old")

    forget(cache)

    assert (len(cache), cache.size) == (0, 0)
    assert cache.get_or_fetch("a", lambda: "new") == "new"


def test_entries_that_are_not_stale_are_kept():
    cache = make_cache()
    for key, value in (("a", 1), ("b", 2), ("c", 1)):
        cache.get_or_fetch(key, lambda value=value: value)

    cache.invalidate_if(lambda key, value: value == 1)
    cache.invalidate("nothing of this name")

    assert (cache.get("a", None), cache.get("b", None), cache.get("c", None)) == (None, 2, None)


@pytest.mark.parametrize("forget", FORGETTING.values(), ids=FORGETTING)
async def test_a_value_fetched_before_an_invalidation_is_never_kept_after_it(forget):
    cache, gate = make_cache(), Gate("old")
    early = asyncio.create_task(cache.aget_or_fetch("a", gate.fetch))
    await gate.started.wait()

    forget(cache)
    gate.opened.set()

    assert await early == "old"  # requested before the change
    assert cache.get("a", MISSING) is MISSING


async def test_control_without_the_check_the_stale_value_is_kept():
    cache, gate = NoGeneration(), Gate("old")
    early = asyncio.create_task(cache.aget_or_fetch("a", gate.fetch))
    await gate.started.wait()

    cache.invalidate("a")
    gate.opened.set()
    await early

    assert cache.kept == {"a": "old"}


async def test_a_caller_after_an_invalidation_does_not_join_an_earlier_fetch():
    cache, gate = make_cache(), Gate("old")
    early = asyncio.create_task(cache.aget_or_fetch("a", gate.fetch))
    await gate.started.wait()
    cache.invalidate("a")

    assert await cache.aget_or_fetch("a", Source("new").afetch) == "new"

    gate.opened.set()
    assert (await early, cache.get("a", None), cache.under_way) == ("old", "new", 0)


def test_threads_never_keep_a_value_older_than_the_last_invalidation():
    cache, truth = make_cache(), Source(0, seconds=0)
    stop = threading.Event()

    def read():
        while not stop.is_set():
            cache.get_or_fetch("a", truth.fetch)

    readers = [threading.Thread(target=read) for _ in range(THREADS - 1)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 200):
            truth.value = number
            cache.invalidate("a")
            assert cache.get_or_fetch("a", truth.fetch) == number
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert (cache.get("a", truth.value), cache.under_way) == (truth.value, 0)


# --- Counters -------------------------------------------------------------------------------------------


def test_metrics_count_look_ups_fetches_and_invalidations():
    cache = entries_of(2, name="counted")
    for key in ("a", "a", "b", "c"):
        cache.get_or_fetch(key, lambda: 1)
    cache.invalidate("c")
    cache.flush()

    assert value_of(LOOKUPS, "counted", "hit") == 1
    assert value_of(LOOKUPS, "counted", "miss") == 3
    assert value_of(REBUILDS, "counted") == 3
    assert value_of(EVICTIONS, "counted") == 1
    assert value_of(INVALIDATIONS, "counted") == 2
    assert caches()["counted"] is cache
