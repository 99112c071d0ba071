"""Shared level of response caches, on a real Redis: one build for all processes, and invalidation."""

import asyncio
import contextlib

import pytest
from django.core.cache import cache as plain_cache

from config import caching
from config.caching.shared import SharedLevel, Turn
from tests.config.caching.crowds import Gate, Source
from tests.config.caching.neighbour import neighbour
from tests.config.caching.test_response import Clock
from tests.waiting import async_wait_until, wait_until

KEY, EPOCHS = ("a",), ("thing:a",)


@pytest.fixture
def source(redis):
    redis.set("source:1", "old")
    return redis


def builds(redis):
    return int(redis.get("builds") or 0)


@contextlib.contextmanager
def neighbours(count, **env):
    with contextlib.ExitStack() as street:
        yield [street.enter_context(neighbour(**env)) for _ in range(count)]


def request_of_all(processes, line):
    for process in processes:
        process.send(line)
    return [process.reply() for process in processes]


# --- Processes ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("shared", "expected"), [("1", 1), ("0", 3)])
def test_three_processes_build_once_unless_they_share_nothing(source, shared, expected):
    """The second case is the control."""
    with neighbours(3, SHARED_RESPONSES=shared) as processes:
        assert request_of_all(processes, "respond 200") == ["old"] * 3

    assert builds(source) == expected


@pytest.mark.slow
def test_after_a_change_one_build_serves_all_processes(source):
    with neighbours(2) as (one, two):
        assert request_of_all((one, two), "respond 1") == ["old", "old"]
        source.set("source:1", "new")
        before = builds(source)

        caching.announce("source:1")

        wait_until(lambda: request_of_all((one, two), "respond 1") == ["new", "new"])
        assert builds(source) <= before + 2  # one more if a body became stale just then


@pytest.mark.slow
def test_other_processes_wait_for_a_dead_leader_until_its_lease_expires(source):
    source.set("slow", "30")
    with neighbours(2) as (one, two):
        one.send("respond 1")
        wait_until(lambda: builds(source) == 1)
        two.send("respond 1")
        source.set("slow", "0.01")
        one.process.kill()

        assert two.reply() == "old"
    assert builds(source) == 2


@pytest.mark.slow
def test_a_failing_build_is_repeated_once_per_interval_by_all_processes(source):
    with neighbours(2) as processes:
        assert request_of_all(processes, "respond 1") == ["old", "old"]
        source.set("failing", "1")
        before = builds(source)
        wait_until(lambda: request_of_all(processes, "respond 20") and builds(source) > before)
        began = source.time()

        def failed_three_times():
            assert request_of_all(processes, "respond 20") == ["old", "old"]
            return builds(source) >= before + 3

        wait_until(failed_three_times, timeout=30)
        (seconds, micros), (end_seconds, end_micros) = began, source.time()
        # The gate is a second, so two more attempts take at least two.
        assert end_seconds - seconds + (end_micros - micros) / 1e6 > 1.5


# --- Lease ----------------------------------------------------------------------------------------------


@pytest.fixture
def level(redis, settings):
    settings.SHARED_RESPONSES = True
    return SharedLevel("tested", grace_seconds=60, lead_seconds=1.5)


async def test_one_leads_and_the_others_wait(level):
    turns = [await level.take(KEY, EPOCHS, token) for token in ("one", "two", "one")]

    assert [taken.turn for taken in turns] == [Turn.LEAD, Turn.WAIT, Turn.LEAD]


async def test_a_stored_body_is_fresh_and_then_stale(level, redis):
    taken = await level.take(KEY, EPOCHS, "one")
    assert await level.store(KEY, EPOCHS, "one", taken, b"body", 100)
    fresh = await level.take(KEY, EPOCHS, "two")
    assert (fresh.turn, fresh.body) == (Turn.FRESH, b"body")

    redis.expire(level.keys(KEY)[0], 59)

    assert (await level.take(KEY, EPOCHS, "two")).turn is Turn.LEAD
    old = await level.take(KEY, EPOCHS, "three")
    assert (old.turn, old.body) == (Turn.WAIT, b"body")


async def test_a_lease_lasts_while_it_is_renewed(level, redis):
    lock = level.keys(KEY)[1]
    await level.take(KEY, EPOCHS, "one")
    async with level.holding(KEY, "one"):
        redis.expire(lock, 60)
        await async_wait_until(lambda: 0 < redis.pttl(lock) <= 1500)

    redis.expire(lock, 0)
    assert (await level.take(KEY, EPOCHS, "two")).turn is Turn.LEAD


async def test_a_process_that_lost_the_lease_stores_no_body(level):
    taken = await level.take(KEY, EPOCHS, "one")
    await level.give_up(KEY, "one")
    newer = await level.take(KEY, EPOCHS, "two")
    assert await level.store(KEY, EPOCHS, "two", newer, b"newer", 100)

    await level.store(KEY, EPOCHS, "one", taken, b"older", 100)

    assert (await level.take(KEY, EPOCHS, "three")).body == b"newer"


async def test_a_body_built_before_a_change_is_not_stored_after_it(level):
    taken = await level.take(KEY, EPOCHS, "one")
    caching.announce("thing:a")

    assert not await level.store(KEY, EPOCHS, "one", taken, b"old", 100)
    assert (await level.take(KEY, EPOCHS, "two")).turn is Turn.LEAD


async def test_control_a_plain_cache_keeps_a_body_built_before_a_change(redis):
    built_before = "old"
    plain_cache.delete("thing")
    plain_cache.set("thing", built_before, 100)

    assert plain_cache.get("thing") == "old"


async def test_a_body_stored_before_a_change_is_not_used_after_it(level):
    taken = await level.take(KEY, EPOCHS, "one")
    await level.store(KEY, EPOCHS, "one", taken, b"old", 100)
    caching.announce("thing:other")
    assert (await level.take(KEY, EPOCHS, "two")).turn is Turn.FRESH

    caching.announce("thing:a")

    assert (await level.take(KEY, EPOCHS, "two")).turn is Turn.LEAD


async def test_all_keys_in_redis_expire(level, redis):
    taken = await level.take(KEY, EPOCHS, "one")
    await level.store(KEY, EPOCHS, "one", taken, b"old", 100)
    await level.take(("b",), EPOCHS, "one")

    assert all(redis.ttl(key) > 0 or redis.pttl(key) > 0 for key in redis.keys("*"))


# --- With the level of the process ----------------------------------------------------------------------


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(redis, clock, settings):
    settings.SHARED_RESPONSES = True
    return caching.TtlResponseCache("tested", kind="thing", clock=clock)


async def test_a_missed_event_is_noticed_at_the_next_build(cache, clock):
    """Without events: a body that another process changed is not served when a build fails."""
    await cache.get(KEY, Source(b"old").afetch)
    caching.announce("thing:a")
    clock.pass_(31)
    assert (await cache.get(KEY, Source(LookupError()).afetch)).data == b"old"
    await async_wait_until(lambda: cache.under_way == 0)

    with pytest.raises(LookupError):
        await cache.get(KEY, Source(LookupError()).afetch)


async def test_a_body_that_is_outdated_when_built_reaches_only_waiting_callers(cache):
    gate = Gate(b"old")
    waiting = asyncio.create_task(cache.get(KEY, gate.fetch))
    await gate.started.wait()

    caching.announce("thing:a")
    gate.opened.set()

    assert (await waiting).data == b"old"
    assert (await cache.get(KEY, Source(b"new").afetch)).data == b"new"


async def test_a_restarted_process_uses_bodies_of_others(cache, clock):
    await cache.get(KEY, Source(b"body").afetch)
    unwanted = Source(b"unwanted")
    restarted = caching.TtlResponseCache("tested", kind="thing", clock=clock)

    assert (await restarted.get(KEY, unwanted.afetch)).data == b"body"
    assert unwanted.fetches == 0


async def test_an_emptied_redis_costs_one_build(cache, clock, redis):
    await cache.get(KEY, Source(b"old").afetch)
    redis.flushall()
    clock.pass_(31)

    assert (await cache.get(KEY, Source(b"new").afetch)).data == b"old"
    await async_wait_until(lambda: cache.under_way == 0)
    assert (await cache.get(KEY, Source(b"unwanted").afetch)).data == b"new"


async def test_a_redis_that_hangs_delays_one_build_and_not_the_next(cache, redis):
    redis.client_pause(2500)

    assert (await cache.get(KEY, Source(b"body").afetch)).data == b"body"
    assert (await cache.get(("b",), Source(b"other").afetch)).data == b"other"

    assert cache.is_shared_level_away
