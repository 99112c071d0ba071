"""The connection that all tasks share: answers find their questions, and a lost one costs a repetition."""

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


async def test_each_task_gets_the_answer_to_its_own_question(link):
    answers = await asyncio.gather(*(scripts.arun(link, DOUBLE.call(number)) for number in range(500)))

    assert answers == [number * 2 for number in range(500)]


async def test_who_stops_waiting_does_not_shift_the_answers_of_others(link):
    await link.execute("SET", "name", "value")
    impatient = asyncio.create_task(link.execute("GET", "other"))
    await asyncio.sleep(0)
    patient = asyncio.create_task(link.execute("GET", "name"))
    await asyncio.sleep(0)

    impatient.cancel()

    assert await patient == b"value"


async def test_a_lost_connection_is_made_again_and_the_question_asked_again(link, redis):
    await link.execute("SET", "name", "value")
    redis.client_kill_filter(_type="normal", skipme=True)

    assert await asyncio.gather(*(link.execute("GET", "name") for _ in range(10))) == [b"value"] * 10


async def test_scripts_are_sent_again_to_a_server_that_forgot_them(link, redis):
    await scripts.arun(link, DOUBLE.call(1))
    redis.script_flush()

    assert await scripts.arun(link, DOUBLE.call(4)) == 8


async def test_an_error_is_raised_for_its_own_question_alone(link):
    wrong, right = await asyncio.gather(
        link.execute("NONSENSE"), link.execute("PING"), return_exceptions=True
    )

    assert isinstance(wrong, redis_errors.ResponseError)
    assert right == b"PONG"


async def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(multiplexed, "ANSWER_SECONDS", 0.05)

    async def sleep_on(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_server(sleep_on, "127.0.0.1", 0) as server:
        link = MultiplexedConnection(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        with pytest.raises(redis_errors.ConnectionError):
            await link.execute("GET", "name")
        await link.close()


def test_an_answer_that_came_while_the_loop_was_busy_is_read(redis, settings, monkeypatch):
    """On uvloop: after what was read it calls what is due, and reads again only then."""
    monkeypatch.setattr(multiplexed, "ANSWER_SECONDS", 0.05)
    there, here = socket.socketpair()

    async def ask_and_be_busy():
        loop = asyncio.get_running_loop()
        connection = await multiplexed.connect(settings.REDIS_URL)
        answer = connection.ask(("BLPOP", "nothing", "0.1"))
        loop.add_reader(here, lambda: (here.recv(1), time.sleep(0.3)))
        loop.call_later(0.07, there.send, b"!")
        try:
            return await answer
        finally:
            connection.close()

    with there, here:
        assert uvloop.run(ask_and_be_busy()) is None


async def test_what_comes_unasked_is_heard(redis, settings):
    heard = []
    connection = await multiplexed.connect(settings.REDIS_URL, heard.append)
    connection.tell(("SUBSCRIBE", "news"))
    await async_wait_until(lambda: len(heard) == 1)

    redis.publish("news", "now")

    await async_wait_until(lambda: len(heard) == 2)
    assert heard[1] == [b"message", b"news", b"now"]
    connection.close()
    await connection.lost


async def test_a_server_that_is_not_there_is_a_connection_error():
    with pytest.raises(redis_errors.ConnectionError):
        await MultiplexedConnection("redis://127.0.0.1:1/0").execute("PING")
