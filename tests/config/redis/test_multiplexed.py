"""The connection that all tasks share: replies reach their commands, and after a loss these are repeated."""

import asyncio
import socket
import time

import pytest
import uvloop
from redis import exceptions as redis_errors

from config.redis import multiplexed, scripts
from config.redis.multiplexed import MultiplexedConnection
from tests.waiting import async_wait_until

DOUBLE = scripts.Script("return ARGV[1] * 2")


@pytest.fixture
async def link(redis, settings):
    one = MultiplexedConnection(settings.REDIS_URL)
    yield one
    await one.close()


async def test_each_task_gets_the_reply_to_its_own_command(link):
    replies = await asyncio.gather(*(scripts.arun(link, DOUBLE.call(number)) for number in range(500)))

    assert replies == [number * 2 for number in range(500)]


async def test_a_cancelled_task_does_not_shift_the_replies_of_others(link):
    await link.execute("SET", "name", "value")
    cancelled = asyncio.create_task(link.execute("GET", "other"))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(link.execute("GET", "name"))
    await asyncio.sleep(0)

    cancelled.cancel()

    assert await waiting == b"value"


async def test_a_lost_connection_is_opened_again_and_the_command_repeated(link, redis):
    await link.execute("SET", "name", "value")
    redis.client_kill_filter(_type="normal", skipme=True)

    assert await asyncio.gather(*(link.execute("GET", "name") for _ in range(10))) == [b"value"] * 10


async def test_scripts_are_sent_again_to_a_server_that_has_lost_them(link, redis):
    await scripts.arun(link, DOUBLE.call(1))
    redis.script_flush()

    assert await scripts.arun(link, DOUBLE.call(4)) == 8


async def test_an_error_reply_is_raised_for_its_own_command_alone(link):
    wrong, right = await asyncio.gather(
        link.execute("NONSENSE"), link.execute("PING"), return_exceptions=True
    )

    assert isinstance(wrong, redis_errors.ResponseError)
    assert right == b"PONG"


async def test_a_server_that_never_replies_is_a_connection_error(monkeypatch):
    monkeypatch.setattr(multiplexed, "REPLY_SECONDS", 0.05)

    async def ignore(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server:
        link = MultiplexedConnection(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        with pytest.raises(redis_errors.ConnectionError):
            await link.execute("GET", "name")
        await link.close()


def test_a_reply_that_arrived_while_the_loop_was_blocked_is_read(redis, settings, monkeypatch):
    """On uvloop, which runs timers that are due between two reads."""
    monkeypatch.setattr(multiplexed, "REPLY_SECONDS", 0.05)
    remote, local = socket.socketpair()

    async def request_and_block():
        loop = asyncio.get_running_loop()
        connection = await multiplexed.connect(settings.REDIS_URL)
        reply = connection.request(("BLPOP", "nothing", "0.1"))
        loop.add_reader(local, lambda: (local.recv(1), time.sleep(0.3)))
        loop.call_later(0.07, remote.send, b"!")
        try:
            return await reply
        finally:
            connection.close()

    with remote, local:
        assert uvloop.run(request_and_block()) is None


async def test_messages_of_a_subscription_are_pushed(redis, settings):
    pushed = []
    connection = await multiplexed.connect(settings.REDIS_URL, pushed.append)
    connection.send(("SUBSCRIBE", "news"))
    await async_wait_until(lambda: len(pushed) == 1)

    redis.publish("news", "now")

    await async_wait_until(lambda: len(pushed) == 2)
    assert pushed[1] == [b"message", b"news", b"now"]
    connection.close()
    await connection.lost


async def test_an_unreachable_server_is_a_connection_error():
    with pytest.raises(redis_errors.ConnectionError):
        await MultiplexedConnection("redis://127.0.0.1:1/0").execute("PING")
