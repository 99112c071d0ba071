"""What was fetched is told to the persister, once a second, none lost."""

import asyncio

from audiocache.orders import ORDERS_STREAM, Order
from config.redis import clients as redis_clients
from tests.audiocache.audio_blobs import sound
from tests.waiting import async_wait_until
from yapit.synthesis.access_log import AccessLog

MANY = 40_000  # more than a statement of SQLite takes variables


async def told(redis):
    entries = await redis.xrange(ORDERS_STREAM)
    return {key.hex(): at for _, fields in entries for key, at in Order.from_fields(fields).times()}


async def test_touches_are_told_by_themselves_and_each_hash_once(async_redis):
    touches, hashes = AccessLog(seconds=0.05), [sound(number).hash for number in range(3)]
    for hash_hex in hashes * 5:
        touches.note(hash_hex)

    assert set(await async_wait_until(lambda: told(async_redis))) == set(hashes)
    assert await async_redis.xlen(ORDERS_STREAM) == 1


async def test_none_is_lost_by_number(async_redis):
    touches = AccessLog(seconds=3600)
    hashes = {f"{number:064x}" for number in range(MANY)}
    for hash_hex in hashes:
        touches.note(hash_hex)

    await touches.flush()

    assert set(await told(async_redis)) == hashes


async def test_while_redis_is_away_they_wait_for_it(async_redis, monkeypatch):
    touches, hash_hex = AccessLog(seconds=0.02), sound().hash
    away = redis_clients.redis.asyncio.Redis(port=1)
    with monkeypatch.context() as patch:
        patch.setattr(redis_clients, "hot", lambda: away)
        touches.note(hash_hex)
        await touches.flush()
        assert touches.backlog
        touches.note(sound("other").hash)

    await async_wait_until(lambda: told(async_redis))

    assert set(await told(async_redis)) == {hash_hex, sound("other").hash}
    await asyncio.sleep(0)
