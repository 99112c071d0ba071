"""Many values over one connection: each request gets its own, complete, whatever happens to the others."""

import asyncio
import contextlib
import secrets
from urllib.parse import urlsplit

import pytest
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from config.redis import blob_reader as module
from config.redis.blob_reader import BlobReader, blob_reader
from tests.config.redis.tls_proxy import copy

SIZES = (0, 1, 16_370, 16_384, 16_400, 100_000, 3_000_000)


@pytest.fixture
async def values(async_redis):
    """Blobs of all sizes, by key."""
    blobs = {f"audio:{size}": secrets.token_bytes(size) for size in SIZES}
    for key, blob in blobs.items():
        await async_redis.set(key, blob)
    return blobs


@contextlib.asynccontextmanager
async def server(greeting: bytes):
    """A server that sends this to each client, then nothing."""

    async def greet(reader, writer):
        writer.write(greeting)
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with listening:
        reader = BlobReader(f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        yield reader
        await reader.close()


async def test_each_request_gets_its_own_value_complete(values):
    keys = [*values, "audio:absent"] * 20

    found = await asyncio.gather(*(blob_reader().get(key) for key in keys))

    assert [None if one is None else bytes(one) for one in found] == [values.get(key) for key in keys]


async def test_a_cancelled_request_takes_no_reply_from_the_next(values):
    cancelled = asyncio.create_task(blob_reader().get("audio:3000000"))
    await blob_reader().get("audio:1")
    others = [asyncio.create_task(blob_reader().get("audio:3000000")) for _ in range(3)]
    await asyncio.sleep(0)
    cancelled.cancel()
    others[1].cancel()

    assert bytes(await blob_reader().get("audio:16384")) == values["audio:16384"]
    assert bytes(await others[2]) == values["audio:3000000"]


async def test_a_lost_connection_is_opened_again(values, async_redis):
    assert await blob_reader().get("audio:1")
    await async_redis.client_kill_filter(_type="normal", skipme=True)

    assert bytes(await blob_reader().get("audio:1")) == values["audio:1"]


async def test_a_key_of_another_type_is_an_error_of_that_request_alone(values, async_redis):
    await async_redis.rpush("audio:list", 1)

    wrong, right = await asyncio.gather(
        blob_reader().get("audio:list"), blob_reader().get("audio:1"), return_exceptions=True
    )

    assert isinstance(wrong, ResponseError)
    assert bytes(right) == values["audio:1"]


async def test_an_unreachable_server_is_an_error_at_once():
    with pytest.raises(ConnectionError):
        await BlobReader("redis://127.0.0.1:1").get("audio:1")


async def test_a_wrong_password_is_an_error(settings, async_redis):
    port = urlsplit(settings.REDIS_URL).port
    with pytest.raises(RedisError, match="WRONGPASS"):
        await BlobReader(f"redis://stranger:wrong@127.0.0.1:{port}").get("audio:1")


async def test_a_silent_server_is_a_timeout(monkeypatch):
    monkeypatch.setattr(module, "REPLY_SECONDS", 0.05)
    async with server(b"") as reader:
        with pytest.raises(TimeoutError):
            await reader.get("audio:1")


async def test_a_value_beyond_the_limit_closes_the_connection():
    async with server(b"$999999999999\r\n") as reader:
        with pytest.raises(ConnectionError):
            await reader.get("audio:1")


async def test_values_come_through_a_unix_socket(values, settings, tmp_path):
    server = urlsplit(settings.REDIS_URL)
    path = tmp_path / "redis.sock"

    async def forward(reader, writer):
        target_reader, target_writer = await asyncio.open_connection(server.hostname, server.port)
        await asyncio.gather(copy(reader, target_writer), copy(target_reader, writer))

    async with await asyncio.start_unix_server(forward, path):
        reader = BlobReader(f"unix://:{server.password}@{path}?db=0")
        found = await asyncio.gather(*(reader.get(key) for key in values))
        await reader.close()

    assert [bytes(one) for one in found] == list(values.values())
