"""The bus on a real Redis: from process to process, after losses, and stopped in time."""

import asyncio
import time

import pytest

from config import caching
from config.caching import bus as bus_module
from config.caching import events
from config.caching.bus import Bus
from config.caching.subscriptions import EVENTS, Subscriptions
from config.redis import clients as redis_clients
from tests.config.caching.neighbour import neighbour
from tests.waiting import PATIENCE, async_wait_until, wait_until


class Ear:
    """A bus of its own, and what it heard."""

    def __init__(self, silent_seconds=5.0):
        self.heard = []
        self.missed = 0
        self.subscriptions = Subscriptions()
        self.subscriptions.add("a*", self.heard.append, self.miss)
        self.bus = Bus(self.subscriptions, silent_seconds)

    def miss(self):
        self.missed += 1

    async def __aenter__(self):
        self.bus.start()
        await asyncio.wait_for(self.bus.subscribed(), PATIENCE)
        return self

    async def __aexit__(self, *exc):
        await self.bus.stop()


@pytest.fixture
async def ear(redis):
    async with Ear() as ear:
        yield ear


def ears(redis):
    return redis.pubsub_numsub(events.CHANNEL)[0][1]


def cut_off(redis):
    redis.client_kill_filter(_type="pubsub")


# --- Hearing --------------------------------------------------------------------------------------------


async def test_what_is_published_is_heard_from_threads_and_from_the_loop(ear):
    assert await asyncio.to_thread(caching.publish, "a:1", "a:2", "b")
    assert await caching.apublish("a:3")

    await async_wait_until(lambda: ear.heard == ["a:1", "a:2", "a:3"])


async def test_thousands_of_events_arrive_in_order(ear):
    named = [f"a:{number}" for number in range(5000)]

    await caching.apublish(*named)

    await async_wait_until(lambda: len(ear.heard) == 5000)
    assert ear.heard == named


async def test_what_is_malformed_is_ignored_and_counted(ear, redis):
    before = EVENTS.labels("malformed")._value.get()
    for payload in (b"\xff\x00", b"[1]", b"[" * 1000):
        redis.publish(events.CHANNEL, payload)
    caching.publish("a:after")

    await async_wait_until(lambda: ear.heard == ["a:after"])
    assert EVENTS.labels("malformed")._value.get() == before + 3


# --- Losing ---------------------------------------------------------------------------------------------


async def test_every_new_subscription_counts_as_having_missed_something(ear, redis):
    assert ear.missed == 1

    for times in (2, 3):
        cut_off(redis)
        await async_wait_until(lambda times=times: ear.missed == times and ear.bus.is_subscribed)

    caching.publish("a:again")
    await async_wait_until(lambda: ear.heard == ["a:again"])


async def test_while_redis_is_away_it_tries_again(redis, settings):
    there, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    ear = Ear()
    ear.bus.start()
    await async_wait_until(lambda: ear.bus._pause > 0.3)

    settings.REDIS_URL = there
    await asyncio.wait_for(ear.bus.subscribed(), PATIENCE)

    assert (ear.missed, ear.bus._pause) == (1, 0)
    await ear.bus.stop()


async def test_a_connection_on_which_nothing_comes_back_is_given_up(redis, settings):
    """Redis' end has vanished: no error, no answer, for ever."""
    taken = []
    server = await asyncio.start_server(lambda reader, writer: taken.append(writer), "127.0.0.1", 0)
    there = settings.REDIS_URL
    settings.REDIS_URL = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    ear = Ear(silent_seconds=0.1)
    ear.bus.start()
    await async_wait_until(lambda: ear.bus._pause > 0)

    settings.REDIS_URL = there
    await asyncio.wait_for(ear.bus.subscribed(), PATIENCE)
    await ear.bus.stop()
    server.close()
    for writer in taken:
        writer.close()
        await writer.wait_closed()


async def test_a_quiet_connection_that_still_answers_is_kept(redis):
    async with Ear(silent_seconds=0.05) as ear:
        await asyncio.sleep(0.5)
        assert ear.missed == 1
        caching.publish("a")
        await async_wait_until(lambda: ear.heard == ["a"])


# --- Starting and stopping ------------------------------------------------------------------------------


async def test_there_is_one_subscription_however_often_it_is_started(redis):
    for _ in range(100):
        caching.listen()
    await caching.listen().subscribed()

    assert ears(redis) == 1
    await caching.stop_listening()
    await async_wait_until(lambda: ears(redis) == 0)


async def test_it_can_be_stopped_at_any_time_and_started_again(redis):
    ear = Ear()
    await ear.bus.stop()
    ear.bus.start()
    await ear.bus.stop()
    for _ in range(2):
        async with ear:
            assert ears(redis) == 1
            await ear.bus.stop()
    await async_wait_until(lambda: ears(redis) == 0)
    assert not ear.bus.is_subscribed


async def test_a_connection_that_cannot_be_closed_does_not_hold_up_the_end(ear, monkeypatch):
    async def hang(self):
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(bus_module.PubSub, "aclose", hang)
        patch.setattr(bus_module, "STOP_SECONDS", PATIENCE)
        began = time.monotonic()
        await ear.bus.stop()
    assert time.monotonic() - began < PATIENCE


async def test_a_cache_is_emptied_on_each_subscription(redis):
    cache = caching.MemoryCache("followed", max_bytes=10_000, seconds=600)
    leave = caching.subscribe("followed", lambda event: cache.flush(), cache.flush)
    cache.get_or_fetch("a", lambda: "before anybody listened")

    await caching.listen().subscribed()
    assert len(cache) == 0

    await caching.stop_listening()
    leave()


# --- Two processes --------------------------------------------------------------------------------------


@pytest.fixture
async def source(redis):
    """A cache here, as the neighbour's."""
    cache = caching.MemoryCache("source", max_bytes=100_000, seconds=600)
    leave = caching.subscribe("source:*", lambda event: cache.invalidate(event), cache.flush)
    await caching.listen().subscribed()

    async def get(key):
        return (await cache.aget_or_fetch(key, lambda: redis_clients.hot().get(key))).decode()

    yield get
    leave()
    await caching.stop_listening()


async def test_a_change_reaches_both_processes(redis, source):
    async def source_is_new():
        return await source("source:1") == "new"

    redis.set("source:1", "old")
    with neighbour() as other:
        assert (await source("source:1"), other.ask("get source:1")) == ("old", "old")
        redis.set("source:1", "new")
        assert (await source("source:1"), other.ask("get source:1")) == ("old", "old")

        assert other.ask("publish source:1") == "True"

        wait_until(lambda: other.ask("get source:1") == "new")
        await async_wait_until(source_is_new)


async def test_an_epoch_raised_there_is_seen_here_with_its_bell(redis, source):
    heard = []
    leave = caching.subscribe("credit:*", heard.append)
    with neighbour() as other:
        before = await caching.aepoch("credit", 5)
        raised = int(other.ask("bump credit:5"))
        await async_wait_until(lambda: heard == ["credit:5"])

    assert raised == await caching.aepoch("credit", 5) != before
    leave()


@pytest.mark.parametrize(("options", "seen"), [((), "new"), (("--forgetful",), "old")])
def test_a_change_while_cut_off_is_not_missed_unless_nobody_forgets(redis, options, seen):
    """The second is the control: without flushing on each subscription the old value would stay."""
    redis.set("source:1", "old")
    with neighbour(*options) as other:
        assert other.ask("get source:1") == "old"
        redis.set("source:1", "new")
        redis.client_kill_filter(_type="pubsub")
        wait_until(lambda: ears(redis) == 1)

        wait_until(lambda: other.ask("get source:1") == seen)
