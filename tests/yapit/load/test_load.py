"""Simulated listeners against a server that answers at once."""

import asyncio

import pytest

from benchmarks.servers import running_server
from yapit.load import (
    Listener,
    Measurements,
    SimulatedPlayback,
    figures_of,
    run_closed_loop,
    run_playback,
    table_of,
)

DOCUMENT = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def stub():
    with running_server("benchmarks.stub_server", "sockets") as url:
        yield url


async def test_every_listener_gets_every_block(stub):
    measurements = await run_closed_loop(stub, [Listener("", DOCUMENT, 21)] * 5)

    assert len(measurements.cached) == 5 * 21
    assert not measurements.errors
    assert measurements.rate > 0
    assert 0 < measurements.milliseconds(50) <= measurements.milliseconds(99)


async def test_playback_plays_every_block_of_every_listener(stub):
    measurements = await run_playback(stub, [Listener("", DOCUMENT, 20)] * 3, SimulatedPlayback(speed=4000))

    assert len(measurements.cached) == 3 * 20
    assert len(measurements.silences) == 3
    assert not measurements.errors


async def test_playback_with_seeks_plays_the_same_number_of_blocks(stub):
    measurements = await run_playback(
        stub, [Listener("", DOCUMENT, 20)] * 3, SimulatedPlayback(speed=4000, seeks=1.0), is_batched=True
    )

    assert measurements.seeks == 3 * 19
    assert len(measurements.silences) <= 3 + measurements.seeks


async def test_a_missing_server_is_a_connection_error():
    with pytest.raises(OSError, match="Connect"):
        await run_closed_loop("http://127.0.0.1:1", [Listener("", DOCUMENT, 1)])


async def test_a_server_without_websocket_is_a_connection_error():
    with (
        running_server("benchmarks.stub_server", "http", "10") as url,
        pytest.raises(ConnectionError, match="no WebSocket"),
    ):
        await run_closed_loop(url, [Listener("", DOCUMENT, 1)])


async def test_a_silent_server_ends_in_a_timeout():
    async def silence(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await run_closed_loop(f"http://127.0.0.1:{port}", [Listener("", DOCUMENT, 1)], timeout=0.2)


def test_the_report_has_percentiles_in_milliseconds_where_there_are_values():
    figures = figures_of(Measurements(cached=[0.1, 0.2, 0.3], seconds=1.5))

    assert (figures["blocks"], figures["blocks_per_second"], figures["cached_ms_p50"]) == (3, 2.0, 200.0)
    assert "first_byte_ms_p50" not in figures
    assert "cached ms p50" in table_of(figures)
