"""What may be asked of the writer, as it travels through Redis."""

import pytest

from audiocache import orders
from audiocache.orders import ORDERS_STREAM, Kind, Order
from tests.audiocache.sounds import sound


@pytest.mark.parametrize("kind", Kind)
def test_an_order_arrives_as_it_was_given(redis, kind):
    give = getattr(orders, kind.value)
    hashes = [sound(number).hash for number in range(3)]

    give(redis, "documents", hashes)

    [(_, fields)] = redis.xrange(ORDERS_STREAM)
    order = Order.from_fields(fields)
    assert (order.alias, order.kind) == ("documents", kind)
    assert [key.hex() for key in order.keys] == hashes
    seconds, _ = redis.time()
    assert abs(order.at_ms / 1000 - seconds) < 60


async def test_an_order_can_be_given_from_the_event_loop(async_redis):
    await orders.touch(async_redis, "audio", [sound().hash])

    assert await async_redis.xlen(ORDERS_STREAM) == 1


def test_an_order_about_nothing_asks_for_nothing(redis):
    orders.touch(redis, "audio", [])

    [(_, fields)] = redis.xrange(ORDERS_STREAM)
    assert Order.from_fields(fields).keys == []
