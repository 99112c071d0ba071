"""Response cache: one build, stale bodies during a build, invalidation."""

import asyncio

import pytest
from prometheus_client import REGISTRY
from redis.exceptions import RedisError

from config import caching
from config.caching.memory import INVALIDATIONS, LOOKUPS, REBUILDS
from config.caching.response import FAILURES, Body
from tests.config.caching.crowds import Gate, LeaderFetches, NoGeneration, Source
from tests.metrics import value_of
from tests.waiting import async_wait_until

KEY = ("a",)


class Clock:
    """A clock that tests advance."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def pass_(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(clock):
    return caching.TtlResponseCache("tested", kind="thing", clock=clock)


async def gathered(count, call):
    tasks = [asyncio.create_task(call()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def count(metric, *labels):
    return value_of(metric, "tested", *labels)


async def data(cache, source, key=KEY):
    return (await cache.get(key, source.afetch)).data


# --- Single build ---------------------------------------------------------------------------------------


async def test_500_first_requests_cause_one_build(cache):
    source = Source(b"body")

    bodies = await asyncio.gather(*(cache.get(KEY, source.afetch) for _ in range(500)))

    assert (source.fetches, set(bodies)) == (1, {Body.of(b"body")})


async def test_cancelling_the_first_of_500_requests_fails_no_other(cache):
    gate = Gate(b"body")
    first, *others = await gathered(500, lambda: cache.get(KEY, gate.fetch))
    await gate.started.wait()

    first.cancel()
    gate.opened.set()

    assert {body.data for body in await asyncio.gather(*others)} == {b"body"}
    assert gate.fetches == 1


async def test_control_without_a_separate_task_the_cancellation_fails_all():
    naive, gate = LeaderFetches(), Gate(b"body")
    first, *others = await gathered(500, lambda: naive.aget_or_fetch(KEY, gate.fetch))

    first.cancel()

    ends = await asyncio.gather(*others, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)


async def test_a_fresh_body_is_not_built_again(cache, clock):
    source = Source(b"body")
    for _ in range(5):
        await cache.get(KEY, source.afetch)
        clock.pass_(5.9)

    assert (source.fetches, len(cache)) == (1, 1)


async def test_the_entity_tag_depends_on_the_bytes(cache):
    one = await cache.get(("1",), Source(b"same").afetch)
    two = await cache.get(("2",), Source(b"same").afetch)
    other = await cache.get(("3",), Source(b"other").afetch)

    assert one.etag == two.etag != other.etag
    assert one.etag.startswith('"')
    assert one.etag.endswith('"')


# --- Stale ----------------------------------------------------------------------------------------------


async def test_a_stale_body_is_served_at_once_while_one_task_builds(cache, clock):
    await cache.get(KEY, Source(b"old").afetch)
    clock.pass_(31)
    gate = Gate(b"new")

    served = [await cache.get(KEY, gate.fetch) for _ in range(500)]
    await gate.started.wait()

    assert ({body.data for body in served}, gate.fetches) == ({b"old"}, 1)
    gate.opened.set()
    await async_wait_until(lambda: cache.under_way == 0)
    assert await data(cache, Source(b"unwanted")) == b"new"


async def test_a_failing_build_is_repeated_once_per_interval(cache, clock, caplog):
    await cache.get(KEY, Source(b"old").afetch)
    clock.pass_(31)
    failing = Source(LookupError("the secret"))
    for interval in (1, 2, 3):
        for _ in range(100):
            assert await data(cache, failing) == b"old"
        await async_wait_until(lambda: cache.under_way == 0)
        for _ in range(100):
            assert await data(cache, failing) == b"old"

        assert failing.fetches == interval
        clock.pass_(5.1)
    assert "serves a stale body: LookupError" in caplog.text
    assert "secret" not in caplog.text


async def test_stale_since_is_reported_until_a_build_succeeds(cache, clock):
    def since():
        return REGISTRY.get_sample_value("yapit_cache_stale_since", {"cache": "tested"})

    await cache.get(KEY, Source(b"old").afetch)
    clock.pass_(31)
    before = count(FAILURES)
    await cache.get(KEY, Source(LookupError()).afetch)
    await async_wait_until(lambda: cache.under_way == 0)
    assert since() > 0
    assert (count(FAILURES), cache.stale_since) == (before + 1, since())

    clock.pass_(6)
    await cache.get(KEY, Source(b"new").afetch)
    await async_wait_until(lambda: since() == 0)


async def test_a_body_after_its_grace_time_is_not_reported_as_stale(cache, clock):
    await cache.get(KEY, Source(b"old").afetch)
    clock.pass_(31)
    await cache.get(KEY, Source(LookupError()).afetch)
    await async_wait_until(lambda: cache.stale_since > 0)

    clock.pass_(600)

    assert cache.stale_since == 0


async def test_no_body_is_served_after_its_grace_time(cache, clock):
    await cache.get(KEY, Source(b"old").afetch)
    clock.pass_(30 + 601)

    with pytest.raises(LookupError):
        await cache.get(KEY, Source(LookupError()).afetch)


async def test_without_a_body_a_failure_reaches_all_and_the_build_is_not_repeated_at_once(cache, clock):
    failing = Source(LookupError("gone"))
    for _ in range(2):
        ends = await asyncio.gather(
            *(cache.get(KEY, failing.afetch) for _ in range(200)), return_exceptions=True
        )
        assert {type(end) for end in ends} == {LookupError}
    assert failing.fetches == 1

    clock.pass_(1.1)
    assert await data(cache, Source(b"back")) == b"back"


async def test_a_build_that_never_ends_is_cancelled():
    cache = caching.TtlResponseCache("tested", build_seconds=0.05)

    with pytest.raises(TimeoutError):
        await cache.get(KEY, Gate(b"").fetch)


async def test_a_refusal_is_no_failure(clock):
    class Gone(Exception):
        pass

    cache = caching.TtlResponseCache("tested", refusals=(Gone,), clock=clock)
    await cache.get(KEY, Source(b"old").afetch)
    clock.pass_(31)
    await cache.get(KEY, Source(Gone()).afetch)
    await async_wait_until(lambda: cache.under_way == 0)

    with pytest.raises(Gone):
        await cache.get(KEY, Source(Gone()).afetch)
    assert cache.stale_since == 0


# --- Changes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [lambda cache: cache.invalidate(KEY), lambda cache: cache.flush(), lambda c: c.forget_subject("x:a")],
)
async def test_a_body_that_changed_during_its_build_is_not_kept(cache, change):
    gate = Gate(b"old")
    (waiting,) = await gathered(1, lambda: cache.get(KEY, gate.fetch))
    await gate.started.wait()

    change(cache)
    later = await data(cache, Source(b"new"))
    gate.opened.set()

    assert ((await waiting).data, later) == (b"old", b"new")
    assert await data(cache, Source(b"unwanted")) == b"new"


async def test_control_without_generations_a_body_that_changed_during_its_build_stays():
    naive, gate = NoGeneration(), Gate(b"old")
    (waiting,) = await gathered(1, lambda: naive.aget_or_fetch(KEY, gate.fetch))
    await gate.started.wait()

    naive.invalidate(KEY)
    gate.opened.set()
    await waiting

    assert await naive.aget_or_fetch(KEY, Source(b"new").afetch) == b"old"


async def test_after_a_change_a_failure_does_not_serve_the_earlier_body(cache, clock):
    await cache.get(KEY, Source(b"old").afetch)
    clock.pass_(31)
    gate = Gate(LookupError())
    assert (await cache.get(KEY, gate.fetch)).data == b"old"
    await gate.started.wait()

    cache.invalidate(KEY)
    gate.opened.set()

    with pytest.raises(LookupError):
        await cache.get(KEY, Source(LookupError()).afetch)
    assert cache.stale_since == 0


async def test_only_changed_bodies_are_dropped(cache):
    await cache.get(("a", "1"), Source(b"a").afetch)
    await cache.get(("b", "1"), Source(b"b").afetch)

    cache.forget_subject("thing:a")

    assert await data(cache, Source(b"new"), ("a", "1")) == b"new"
    assert await data(cache, Source(b"new"), ("b", "1")) == b"b"


async def test_it_is_bounded_in_bytes():
    cache = caching.TtlResponseCache("tested", max_bytes=10_000)
    for number in range(100):
        await cache.get((str(number),), Source(b"x" * 1000, seconds=0).afetch)

    assert cache.size <= 10_000
    assert 0 < len(cache) < 10


async def test_metrics_count_requests_builds_and_failures(cache, clock):
    names = [(LOOKUPS, "hit"), (LOOKUPS, "stale"), (LOOKUPS, "miss"), (REBUILDS,), (INVALIDATIONS,)]
    before = [count(*name) for name in names]
    source = Source(b"body")
    await cache.get(KEY, source.afetch)
    await cache.get(KEY, source.afetch)
    clock.pass_(31)
    await cache.get(KEY, source.afetch)
    await async_wait_until(lambda: cache.under_way == 0)
    cache.invalidate(KEY)

    assert [count(*name) - was for name, was in zip(names, before, strict=True)] == [1, 1, 1, 2, 1]


# --- Without Redis --------------------------------------------------------------------------------------


async def test_without_redis_each_process_builds_for_itself(settings, clock):
    settings.SHARED_RESPONSES = True
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": settings.REDIS_URL}}
    cache = caching.TtlResponseCache("tested", clock=clock)
    source = Source(b"body")

    for _ in range(3):
        assert await data(cache, source) == b"body"
        await async_wait_until(lambda: cache.under_way == 0)
        clock.pass_(31)

    assert source.fetches == 3
    assert caching.announce("thing:a") is False
    with pytest.raises(RedisError):
        caching.bump("thing", "a")
