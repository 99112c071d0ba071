"""Orders to run_persister, sent through Redis."""

import pytest

from audiocache import orders
from audiocache.orders import ORDERS_STREAM, Kind, Order
from tests.audiocache.audio_blobs import sound


@pytest.mark.parametrize("kind", Kind)
def test_an_order_is_read_as_it_was_sent(redis, kind):
    hashes = [sound(number).hash for number in range(3)] if kind is not Kind.PRUNE else []

    getattr(orders, kind.value)(redis, "documents", hashes or 5000)

    [(_, fields)] = redis.xrange(ORDERS_STREAM)
    order = Order.from_fields(fields)
    assert (order.alias, order.kind) == ("documents", kind)
    assert [key.hex() for key in order.keys] == hashes
    assert order.size == (0 if hashes else 5000)
    seconds, _ = redis.time()
    assert abs(order.at_ms[0] / 1000 - seconds) < 60


async def test_an_order_can_be_sent_with_an_asynchronous_client(async_redis):
    await orders.touch(async_redis, "audio", [sound().hash])

    assert await async_redis.xlen(ORDERS_STREAM) == 1


def test_an_order_without_hashes_has_no_keys(redis):
    orders.touch(redis, "audio", [])

    [(_, fields)] = redis.xrange(ORDERS_STREAM)
    assert Order.from_fields(fields).keys == []


def test_touches_keep_their_times_over_several_entries(redis):
    times = {sound(number).hash: 1000 + number for number in range(2500)}

    orders.touch_at(redis, "audio", times)

    sent = [Order.from_fields(fields) for _, fields in redis.xrange(ORDERS_STREAM)]
    assert len(sent) == 3
    assert {key.hex(): at_ms for order in sent for key, at_ms in order.times()} == times


def test_a_single_time_applies_to_every_key():
    order = Order("audio", Kind.TOUCH, [b"a", b"b"], [7])

    assert list(order.times()) == [(b"a", 7), (b"b", 7)]


def test_a_sender_can_wait_until_an_order_is_applied(redis):
    entry_id = orders.pin(redis, "audio", [sound().hash])
    assert not orders.wait_for(redis, entry_id, 0)

    redis.xdel(ORDERS_STREAM, entry_id)

    assert orders.wait_for(redis, entry_id, 0)
