"""The client's WebSocket against faulty servers: it continues where it can, and raises where it cannot."""

import json

import pytest

from tests.yapit.client.scripted_server import (
    DOCUMENT,
    URL,
    http_response,
    outcomes,
    raw_server,
    socket_server,
)
from yapit.client import Client, NotAuthenticated, OriginRefused, Refused, Unreachable

BOTH = {0: "cached", 1: "cached"}
STATUS = {"type": "status", "seq": 1, "document_id": DOCUMENT, "block_idx": 0, "status": "cached"}
GARBAGE = [
    "",
    "not JSON",
    "[]",
    "[" * 100_000,
    "null",
    '{"type": "status"}',
    '{"type": "of next year", "seq": 1}',
    b"\xff\xfe binary",
    '"\ud83d"'.encode("utf-8", "surrogatepass"),
    json.dumps(STATUS | {"block_idx": 10**40}),
    json.dumps(STATUS | {"block_idx": -1, "audio_url": URL}),
    json.dumps(STATUS | {"block_idx": 999_999, "audio_url": URL}),
    json.dumps(STATUS | {"block_idx": "0", "audio_url": URL}),
    json.dumps(STATUS | {"seq": -5, "document_id": "no id", "audio_url": URL}),
    json.dumps(STATUS | {"status": "sung", "audio_url": URL}),
    json.dumps(STATUS | {"document_id": "00000000-0000-0000-0000-000000000002", "audio_url": URL}),
    json.dumps(STATUS | {"audio_url": "https://elsewhere.example/v1/audio/" + "0" * 64}),
    json.dumps(STATUS | {"audio_url": None}),
]


def client(url, patience=30.0):
    return Client(url, "yk_key", patience=patience)


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda frame: repr(frame[:40]))
async def test_unreadable_frames_are_skipped(garbage):
    async def script(connection):
        await connection.requested()
        await connection.socket.send(garbage)
        await connection.send_status(0)
        await connection.send_status(1)
        await connection.serve()

    async with socket_server(script) as url, client(url) as subject:
        assert await outcomes(subject) == BOTH


async def test_a_lost_frame_is_detected_by_its_number_and_requested_again():
    async def script(connection):
        await connection.requested()
        await connection.send_status(0, seq=1)
        await connection.send_status(1, "queued", seq=3)
        assert await connection.requested() == [1]
        await connection.send_status(1)

    async with socket_server(script) as url, client(url) as subject:
        assert await outcomes(subject) == BOTH


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013])
async def test_after_a_lost_connection_missing_blocks_are_requested_again(code):
    async def script(connection):
        if connection.number == 1:
            await connection.requested()
            await connection.send_status(0)
            await connection.socket.close(code)
        else:
            assert await connection.requested() == [1]
            await connection.send_status(1)

    async with socket_server(script) as url, client(url) as subject:
        assert await outcomes(subject) == BOTH


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (4400, NotAuthenticated),
        (4401, NotAuthenticated),
        (4403, OriginRefused),
        (4404, Refused),
        (4407, NotAuthenticated),
    ],
)
async def test_a_final_close_code_is_raised_at_once(code, error):
    async def script(connection):
        await connection.socket.close(code)

    async with socket_server(script) as url, client(url) as subject:
        with pytest.raises(error):
            await outcomes(subject)


@pytest.mark.parametrize(("code", "error_code"), [(1013, "unavailable"), (4429, "too_many_connections")])
async def test_repeated_temporary_refusals_are_raised_with_their_code(code, error_code, monkeypatch):
    monkeypatch.setattr("yapit.client.reconnecting_socket.TOO_MANY_SECONDS", 0.1)

    async def script(connection):
        await connection.socket.close(code)

    async with socket_server(script) as url, client(url, patience=0.2) as subject:
        with pytest.raises(Refused) as refusal:
            await outcomes(subject)
    assert (refusal.value.code, refusal.value.retry_after) == (error_code, 30.0)


@pytest.mark.parametrize(
    ("status", "error"), [(401, NotAuthenticated), (403, OriginRefused), (404, Refused), (302, Refused)]
)
async def test_a_refused_handshake_is_raised_at_once(status, error):
    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http_response(status))

    async with raw_server(script) as url, client(url) as subject:
        with pytest.raises(error):
            await outcomes(subject)


async def test_a_connection_that_is_lost_within_a_message_is_reopened():
    async def script(connection):
        if connection.number == 1:
            await connection.requested()
            await connection.send_status(0)
            connection.socket.transport.write(b'\x81\x7e\x01\x00{"type": "status", "seq": 2, ')
            connection.socket.transport.abort()
        else:
            assert await connection.requested() == [1]
            await connection.send_status(1)

    async with socket_server(script) as url, client(url) as subject:
        assert await outcomes(subject) == BOTH


async def test_a_fragmented_message_is_read():
    async def script(connection):
        await connection.requested()
        await connection.socket.send(iter(json.dumps(STATUS | {"audio_url": URL})))
        connection.seq = 1
        await connection.send_status(1)

    async with socket_server(script) as url, client(url) as subject:
        assert await outcomes(subject) == BOTH


async def test_a_rate_limited_client_waits_and_requests_again():
    async def script(connection):
        first = await connection.requested() + await connection.requested()
        await connection.send(
            type="error", code="rate_limited", error="Slowly.", retry_after=0.3, block_indices=first
        )
        await connection.serve()

    async with socket_server(script) as url, client(url) as subject:
        assert await outcomes(subject) == BOTH


@pytest.mark.parametrize("wait", [None, 0, -1, 1e300])
async def test_an_invalid_retry_after_is_bounded(wait, monkeypatch):
    monkeypatch.setattr("yapit.client.session.LONGEST_HOLD", 0.3)

    async def script(connection):
        await connection.requested()
        await connection.send(type="error", code="unavailable", error="", retry_after=wait)
        await connection.serve()

    async with socket_server(script) as url, client(url) as subject:
        assert await outcomes(subject, 1) == {0: "cached"}


async def test_a_refused_request_is_raised_with_its_code():
    async def script(connection):
        await connection.requested()
        await connection.send(type="error", code="voice_not_found", error="No such voice.")
        await connection.socket.wait_closed()

    async with socket_server(script) as url, client(url) as subject:
        with pytest.raises(Refused, match="No such voice") as refusal:
            await outcomes(subject)
    assert refusal.value.code == "voice_not_found"


async def test_blocks_that_the_server_evicts_are_requested_again():
    async def script(connection):
        await connection.requested()
        await connection.send(type="evicted", document_id=DOCUMENT, block_indices=[0])
        await connection.serve()

    async with socket_server(script) as url, client(url) as subject:
        assert await outcomes(subject, 1) == {0: "cached"}


async def test_a_server_that_sends_only_oversized_frames_is_unreachable():
    async def script(connection):
        await connection.socket.send("x" * 3_000_000)
        await connection.socket.wait_closed()

    async with socket_server(script) as url, client(url, patience=0.5) as subject:
        with pytest.raises(Unreachable):
            await outcomes(subject)


async def test_a_missing_server_is_unreachable_after_the_patience():
    async with client("http://127.0.0.1:1", patience=0.2) as subject:
        with pytest.raises(Unreachable):
            await outcomes(subject)
        with pytest.raises(Unreachable):
            await subject.document(DOCUMENT)


async def test_audio_is_not_fetched_from_another_server():
    async with client("http://127.0.0.1:1") as subject:
        with pytest.raises(ValueError, match="not the address of audio"):
            await subject.audio("https://elsewhere.example/v1/audio/" + "0" * 64)


def test_the_url_of_the_server_is_checked():
    with pytest.raises(ValueError, match="not the address of a server"):
        Client("ftp://somewhere", "yk_key")
