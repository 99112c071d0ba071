"""Invalidation bus on a real Redis: between processes, after lost connections, and at shutdown."""

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
from tests.metrics import value_of
from tests.waiting import PATIENCE, async_wait_until, wait_until


class Listener:
    """A separate bus, with the events that it received."""

    def __init__(self, silent_seconds=5.0):
        self.received = []
        self.missed = 0
        self.subscriptions = Subscriptions()
        self.subscriptions.add("a*", self.received.append, self.miss)
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
async def listener(redis):
    async with Listener() as listener:
        yield listener


def subscribers(redis):
    return redis.pubsub_numsub(events.CHANNEL)[0][1]


def kill_subscriptions(redis):
    redis.client_kill_filter(_type="pubsub")


# --- Receiving ------------------------------------------------------------------------------------------


async def test_events_published_by_threads_and_tasks_are_received(listener):
    assert await asyncio.to_thread(caching.publish, "a:1", "a:2", "b")
    assert await caching.apublish("a:3")

    await async_wait_until(lambda: listener.received == ["a:1", "a:2", "a:3"])


async def test_thousands_of_events_arrive_in_order(listener):
    named = [f"a:{number}" for number in range(5000)]

    await caching.apublish(*named)

    await async_wait_until(lambda: len(listener.received) == 5000)
    assert listener.received == named


async def test_malformed_messages_are_ignored_and_counted(listener, redis):
    before = value_of(EVENTS, "malformed")
    for payload in (b"\xff\x00", b"[1]", b"[" * 1000):
        redis.publish(events.CHANNEL, payload)
    caching.publish("a:after")

    await async_wait_until(lambda: listener.received == ["a:after"])
    assert value_of(EVENTS, "malformed") == before + 3


# --- Lost connections -----------------------------------------------------------------------------------


async def test_after_every_new_subscription_events_count_as_missed(listener, redis):
    assert listener.missed == 1

    for times in (2, 3):
        kill_subscriptions(redis)
        await async_wait_until(lambda times=times: listener.missed == times and listener.bus.is_subscribed)

    caching.publish("a:again")
    await async_wait_until(lambda: listener.received == ["a:again"])


async def test_without_redis_it_subscribes_again_later(redis, settings):
    url, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    listener = Listener()
    listener.bus.start()
    await async_wait_until(lambda: listener.bus.pause > 0.3)

    settings.REDIS_URL = url
    await asyncio.wait_for(listener.bus.subscribed(), PATIENCE)

    assert (listener.missed, listener.bus.pause) == (1, 0)
    await listener.bus.stop()


async def test_a_connection_without_replies_is_closed(redis, settings):
    """The server accepts the connection and never replies."""
    accepted = []
    server = await asyncio.start_server(lambda reader, writer: accepted.append(writer), "127.0.0.1", 0)
    url = settings.REDIS_URL
    settings.REDIS_URL = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    listener = Listener(silent_seconds=0.1)
    listener.bus.start()
    await async_wait_until(lambda: listener.bus.pause > 0)

    settings.REDIS_URL = url
    await asyncio.wait_for(listener.bus.subscribed(), PATIENCE)
    await listener.bus.stop()
    server.close()
    for writer in accepted:
        writer.close()
        await writer.wait_closed()


async def test_an_idle_connection_that_replies_to_pings_is_kept(redis):
    async with Listener(silent_seconds=0.05) as listener:
        await asyncio.sleep(0.5)
        assert listener.missed == 1
        caching.publish("a")
        await async_wait_until(lambda: listener.received == ["a"])


# --- Starting and stopping ------------------------------------------------------------------------------


async def test_there_is_one_subscription_however_often_it_is_started(redis):
    for _ in range(100):
        caching.listen()
    await caching.listen().subscribed()

    assert subscribers(redis) == 1
    await caching.stop_listening()
    await async_wait_until(lambda: subscribers(redis) == 0)


async def test_it_can_be_stopped_at_any_time_and_started_again(redis):
    listener = Listener()
    await listener.bus.stop()
    listener.bus.start()
    await listener.bus.stop()
    for _ in range(2):
        async with listener:
            assert subscribers(redis) == 1
            await listener.bus.stop()
    await async_wait_until(lambda: subscribers(redis) == 0)
    assert not listener.bus.is_subscribed


async def test_a_connection_that_cannot_be_closed_does_not_delay_the_stop(listener, monkeypatch):
    async def hang(self):
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(bus_module.PubSub, "aclose", hang)
        patch.setattr(bus_module, "STOP_SECONDS", PATIENCE)
        started = time.monotonic()
        await listener.bus.stop()
    assert time.monotonic() - started < PATIENCE


async def test_a_cache_is_flushed_after_each_subscription(redis):
    cache = caching.MemoryCache("followed", max_bytes=10_000, seconds=600)
    unsubscribe = caching.subscribe("followed", lambda event: cache.flush(), cache.flush)
    cache.get_or_fetch("a", lambda: "before the subscription")

    await caching.listen().subscribed()
    assert len(cache) == 0

    await caching.stop_listening()
    unsubscribe()


# --- Two processes --------------------------------------------------------------------------------------


@pytest.fixture
async def source(redis):
    """A cache in this process, like the one of the neighbour."""
    cache = caching.MemoryCache("source", max_bytes=100_000, seconds=600)
    unsubscribe = caching.subscribe("source:*", lambda event: cache.invalidate(event), cache.flush)
    await caching.listen().subscribed()

    async def get(key):
        return (await cache.aget_or_fetch(key, lambda: redis_clients.hot().get(key))).decode()

    yield get
    unsubscribe()
    await caching.stop_listening()


async def test_a_change_reaches_both_processes(redis, source):
    async def source_is_new():
        return await source("source:1") == "new"

    redis.set("source:1", "old")
    with neighbour() as other:
        assert (await source("source:1"), other.request("get source:1")) == ("old", "old")
        redis.set("source:1", "new")
        assert (await source("source:1"), other.request("get source:1")) == ("old", "old")

        assert other.request("publish source:1") == "True"

        wait_until(lambda: other.request("get source:1") == "new")
        await async_wait_until(source_is_new)


async def test_an_epoch_raised_by_another_process_is_received_with_its_event(redis, source):
    received = []
    unsubscribe = caching.subscribe("credit:*", received.append)
    with neighbour() as other:
        before = await caching.aepoch("credit", 5)
        raised = int(other.request("bump credit:5"))
        await async_wait_until(lambda: received == ["credit:5"])

    assert raised == await caching.aepoch("credit", 5) != before
    unsubscribe()


@pytest.mark.parametrize(("options", "seen"), [((), "new"), (("--forgetful",), "old")])
def test_a_change_during_a_lost_connection_is_noticed_if_caches_are_flushed(redis, options, seen):
    """The second case is the control: without a flush after each subscription the old value stays."""
    redis.set("source:1", "old")
    with neighbour(*options) as other:
        assert other.request("get source:1") == "old"
        redis.set("source:1", "new")
        redis.client_kill_filter(_type="pubsub")
        wait_until(lambda: subscribers(redis) == 1)

        wait_until(lambda: other.request("get source:1") == seen)
