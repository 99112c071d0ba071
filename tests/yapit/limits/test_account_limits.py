"""Token buckets and connection slots of one account."""

import pytest

from config.redis.multiplexed import MultiplexedConnection
from yapit import limits, redis_keys

USER, OTHER = 1, 2


@pytest.fixture
async def link(async_redis, settings):
    link = MultiplexedConnection(settings.REDIS_URL)
    yield link
    await link.close()


async def test_messages_above_the_burst_wait_for_a_token(link, settings, redis):
    settings.MESSAGES_BURST, settings.MESSAGES_PER_SECOND = 2, 0.5

    waits = [await limits.take_message(link, USER) for _ in range(3)]

    assert waits[:2] == [0, 0]
    assert 1 < waits[2] <= 2
    assert await limits.take_message(link, OTHER) == 0
    assert redis.ttl(redis_keys.message_bucket(USER)) > 0


async def test_an_account_has_a_limited_number_of_slots(link, settings):
    settings.CONNECTIONS_PER_USER = 2

    assert [await limits.acquire_slot(link, USER, f"web.{number}") for number in range(3)] == [
        True,
        True,
        False,
    ]
    assert await limits.acquire_slot(link, USER, "web.0")  # renewed
    assert await limits.acquire_slot(link, OTHER, "web.9")

    await limits.release_slot(link, USER, "web.0")
    assert await limits.acquire_slot(link, USER, "web.2")


async def test_a_slot_that_is_not_renewed_is_free_again(link, settings, redis):
    settings.CONNECTIONS_PER_USER = 1
    await limits.acquire_slot(link, USER, "web.killed")
    redis.zadd(redis_keys.connection_slots(USER), {"web.killed": 0})

    assert await limits.acquire_slot(link, USER, "web.1")
    assert 0 < redis.ttl(redis_keys.connection_slots(USER)) <= limits.SLOT_SECONDS
