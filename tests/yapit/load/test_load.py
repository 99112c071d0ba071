"""Many listeners in one process, against a server that answers at once."""

import asyncio

import pytest

from benchmarks.servers import beside
from yapit.load.listeners import Listener, Manner, hurry, play

DOCUMENT = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def stub():
    with beside("benchmarks.stub_server", "sockets") as url:
        yield url


async def test_every_listener_gets_every_block(stub):
    played = await hurry(stub, [Listener("", DOCUMENT, 21)] * 5)

    assert len(played.cached) == 5 * 21
    assert not played.errors
    assert played.rate > 0
    assert 0 < played.milliseconds(50) <= played.milliseconds(99)


async def test_listeners_play_as_the_reader_page_does(stub):
    played = await play(stub, [Listener("", DOCUMENT, 20)] * 3, Manner(speed=4000))

    assert len(played.cached) == 3 * 20
    assert len(played.first) == 3
    assert not played.errors


async def test_who_seeks_hears_as_many_blocks_all_the_same(stub):
    played = await play(
        stub, [Listener("", DOCUMENT, 20)] * 3, Manner(speed=4000, seeks=1.0), is_batched=True
    )

    assert played.seeks == 3 * 19
    assert len(played.first) <= 3 + played.seeks


async def test_a_server_that_is_not_there_is_said():
    with pytest.raises(OSError, match="Connect"):
        await hurry("http://127.0.0.1:1", [Listener("", DOCUMENT, 1)])


async def test_a_server_that_speaks_no_websocket_is_said():
    with (
        beside("benchmarks.stub_server", "http", "10") as url,
        pytest.raises(ConnectionError, match="no WebSocket"),
    ):
        await hurry(url, [Listener("", DOCUMENT, 1)])


async def test_a_server_that_says_nothing_ends_in_a_timeout():
    async def silence(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await hurry(f"http://127.0.0.1:{port}", [Listener("", DOCUMENT, 1)], within=0.2)
