"""The access log: accesses reach the persister as orders, and none is lost."""

import asyncio

from audiocache.orders import ORDERS_STREAM, Order
from config.redis import clients as redis_clients
from tests.audiocache.audio_blobs import sound
from tests.waiting import async_wait_until
from yapit.synthesis.access_log import AccessLog

MANY = 40_000  # more than the variables of a statement of SQLite


async def ordered(redis):
    entries = await redis.xrange(ORDERS_STREAM)
    return {key.hex(): at for _, fields in entries for key, at in Order.from_fields(fields).times()}


async def test_accesses_are_written_in_the_background_and_each_hash_once(async_redis):
    log, hashes = AccessLog(seconds=0.05), [sound(number).hash for number in range(3)]
    for hash_hex in hashes * 5:
        log.note(hash_hex)

    assert set(await async_wait_until(lambda: ordered(async_redis))) == set(hashes)
    assert await async_redis.xlen(ORDERS_STREAM) == 1


async def test_any_number_of_accesses_is_written(async_redis):
    log = AccessLog(seconds=3600)
    hashes = {f"{number:064x}" for number in range(MANY)}
    for hash_hex in hashes:
        log.note(hash_hex)

    await log.flush()

    assert set(await ordered(async_redis)) == hashes


async def test_accesses_wait_while_redis_is_unavailable(async_redis, monkeypatch):
    log, hash_hex = AccessLog(seconds=0.02), sound().hash
    unavailable = redis_clients.redis.asyncio.Redis(port=1)
    with monkeypatch.context() as patch:
        patch.setattr(redis_clients, "hot", lambda: unavailable)
        log.note(hash_hex)
        await log.flush()
        assert log.backlog
        log.note(sound("other").hash)

    await async_wait_until(lambda: ordered(async_redis))

    assert set(await ordered(async_redis)) == {hash_hex, sound("other").hash}
    await asyncio.sleep(0)
