"""What may be asked of the writer, as it travels through Redis."""

import pytest

from audiocache import orders
from audiocache.orders import ORDERS_STREAM, Kind, Order
from tests.audiocache.audio_blobs import sound


@pytest.mark.parametrize("kind", Kind)
def test_an_order_arrives_as_it_was_given(redis, kind):
    hashes = [sound(number).hash for number in range(3)] if kind is not Kind.PRUNE else []

    getattr(orders, kind.value)(redis, "documents", hashes or 5000)

    [(_, fields)] = redis.xrange(ORDERS_STREAM)
    order = Order.from_fields(fields)
    assert (order.alias, order.kind) == ("documents", kind)
    assert [key.hex() for key in order.keys] == hashes
    assert order.size == (0 if hashes else 5000)
    seconds, _ = redis.time()
    assert abs(order.at_ms[0] / 1000 - seconds) < 60


async def test_an_order_can_be_given_from_the_event_loop(async_redis):
    await orders.touch(async_redis, "audio", [sound().hash])

    assert await async_redis.xlen(ORDERS_STREAM) == 1


def test_an_order_about_nothing_asks_for_nothing(redis):
    orders.touch(redis, "audio", [])

    [(_, fields)] = redis.xrange(ORDERS_STREAM)
    assert Order.from_fields(fields).keys == []


def test_touches_keep_their_times_however_many_there_are(redis):
    times = {sound(number).hash: 1000 + number for number in range(2500)}

    orders.touch_at(redis, "audio", times)

    given = [Order.from_fields(fields) for _, fields in redis.xrange(ORDERS_STREAM)]
    assert len(given) == 3
    assert {key.hex(): at_ms for order in given for key, at_ms in order.times()} == times


def test_one_time_is_that_of_every_key():
    order = Order("audio", Kind.TOUCH, [b"a", b"b"], [7])

    assert list(order.times()) == [(b"a", 7), (b"b", 7)]


def test_whoever_gave_an_order_can_wait_until_it_is_applied(redis):
    given = orders.pin(redis, "audio", [sound().hash])
    assert not orders.wait_for(redis, given, 0)

    redis.xdel(ORDERS_STREAM, given)

    assert orders.wait_for(redis, given, 0)
