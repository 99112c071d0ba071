"""The client's HTTP requests against faulty servers: garbage, lost connections, redirects, silence."""

import asyncio
import hashlib
import json
import threading

import pytest

from tests.waiting import async_wait_until
from tests.yapit.client.scripted_server import DOCUMENT, URL, http_response, raw_server
from yapit.client import Client, ClientError, NotAuthenticated, Refused, Unreachable, UsageLimit

OGG = b"OggS and so on"
GARBAGE = [
    b"",
    b"\0" * 100,
    b"GARBAGE\r\n\r\n",
    b"HTTP/1.1 999999999999999999999 \r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000,
    b"HTTP/1.1 200 OK\r\n" + b"x" * 100_000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    http_response(200, b"<html>Log in to the Wi-Fi</html>"),
    http_response(200, b"[" * 100_000),
    http_response(200, b"[]"),
    http_response(200, json.dumps({"id": "no id", "title": 5, "block_count": "many"}).encode()),
    http_response(302, location="http://["),
    http_response(301, location="https://elsewhere.example/"),
]


def responding(*responses):
    """A server that sends one response for each request, and repeats the last one."""
    left = list(responses)

    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()

    return raw_server(script)


def error(status, code, retry_after=None, **more):
    headers = {} if retry_after is None else {"retry_after": retry_after}
    return http_response(
        status, json.dumps({"error": {"code": code, "message": "No.", **more}}).encode(), **headers
    )


def spoken(body=OGG, checksum=None):
    checksum = checksum or hashlib.sha256(body).hexdigest()
    return http_response(200, body, content_type="audio/ogg", x_audio_sum=checksum, x_duration_ms=5)


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[:40]))
async def test_unreadable_responses_raise_a_client_error(garbage, monkeypatch):
    monkeypatch.setattr("yapit.client.reconnecting_socket.FIRST_PAUSE", 0.01)
    async with responding(garbage) as url, Client(url, "yk_key", patience=0.05) as client:
        for call in (
            client.document(DOCUMENT),
            client.create_document("A text."),
            client.synthesize("A text."),
            client.audio(URL),
            anext(client.statuses(DOCUMENT, stop=1)),
        ):
            with pytest.raises(ClientError):
                await call


async def test_the_key_follows_no_redirect():
    requests = []

    async def other_server(reader, writer):
        requests.append(await reader.read(1000))

    async with (
        raw_server(other_server) as other,
        responding(http_response(307, location=f"{other}/")) as url,
        Client(url, "yk_key") as client,
    ):
        with pytest.raises(Refused) as refusal:
            await client.document(DOCUMENT)
        with pytest.raises(Refused):
            await anext(client.statuses(DOCUMENT, stop=1))
    assert (refusal.value.code, requests) == ("moved", [])


async def test_temporary_failures_are_retried(monkeypatch):
    monkeypatch.setattr("yapit.client.http_client.FIRST_PAUSE", 0.01)
    responses = [
        error(503, "unavailable", 0),
        error(429, "rate_limited", 0),
        error(504, "timeout", 0),
        http_response(502, b"a proxy"),
        b"",
        spoken(),
    ]
    async with responding(*responses) as url, Client(url, "yk_key", patience=30) as client:
        assert (await client.synthesize("A text.")).audio == OGG


@pytest.mark.parametrize(
    ("response", "error_class", "code"),
    [
        (error(401, "not_authenticated"), NotAuthenticated, "not_authenticated"),
        (error(402, "usage_limit"), UsageLimit, "usage_limit"),
        (error(404, "voice_not_found"), Refused, "voice_not_found"),
        (error(422, "nothing_to_speak"), Refused, "nothing_to_speak"),
        (error(429, "rate_limited", 3600), Refused, "rate_limited"),
        (error(502, "engine_failed"), Refused, "engine_failed"),
        (http_response(500, b"oops"), Refused, "http_500"),
        (http_response(200, b"<html>", content_type="text/html"), Refused, "bad_answer"),
        (spoken(checksum="0" * 64), Refused, "bad_answer"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
async def test_final_failures_are_raised_at_once(response, error_class, code):
    unexpected = b"HTTP/1.1 500 A second request\r\ncontent-length: 0\r\n\r\n"
    async with responding(response, unexpected) as url, Client(url, "yk_key", patience=60) as client:
        with pytest.raises(error_class) as refusal:
            await client.synthesize("A text.")
    assert refusal.value.code == code


async def test_a_usage_limit_error_has_the_remaining_usage():
    usage = {"available": 1, "limit": 2, "used": 3, "requested": 4, "period_end": None}
    async with responding(error(402, "usage_limit", usage=usage)) as url, Client(url, "yk_key") as client:
        with pytest.raises(UsageLimit) as refusal:
            await client.synthesize("A text.")
    assert (refusal.value.usage.available, refusal.value.index) == (1, None)


async def test_a_refusal_has_the_retry_after_of_the_server():
    async with responding(error(429, "rate_limited", 3600)) as url, Client(url, "yk_key") as client:
        with pytest.raises(Refused) as refusal:
            await client.synthesize("A text.")
    assert refusal.value.retry_after == 3600


async def test_a_document_is_not_created_twice():
    """A server that closes the connection may have created it."""
    requests = []

    async def script(reader, writer):
        requests.append(await reader.readuntil(b"\r\n\r\n"))

    async with raw_server(script) as url, Client(url, "yk_key") as client:
        with pytest.raises(Unreachable):
            await client.create_document("A text.")
    assert len(requests) == 1


async def test_a_silent_server_is_unreachable():
    async with raw_server(silence) as url, Client(url, "yk_key", patience=0.5) as client:
        with pytest.raises(Unreachable):
            await client.document(DOCUMENT)


async def silence(reader, writer):
    await reader.read()


async def test_a_server_that_trickles_is_unreachable():
    async def script(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_server(script) as url, Client(url, "yk_key", patience=0.5) as client:
        with pytest.raises(Unreachable):
            await client.document(DOCUMENT)


async def test_a_cancelled_call_closes_its_connection():
    events = asyncio.Queue()

    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        events.put_nowait("requested")
        while await reader.read(1000):
            pass
        events.put_nowait("closed")

    async with raw_server(script) as url, Client(url, "yk_key") as client:
        tasks = [asyncio.create_task(client.synthesize("A text.")) for _ in range(3)]
        for _ in range(3):
            assert await events.get() == "requested"
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(30):
            for _ in range(3):
                assert await events.get() == "closed"
        assert all(isinstance(end, asyncio.CancelledError) for end in await all_of(tasks))


async def all_of(tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_closing_a_client_ends_threads_connections_and_pending_calls():
    connections = []

    async def script(reader, writer):
        connections.append(writer)
        await silence(reader, writer)

    async with raw_server(script) as url:
        async with Client(url, "yk_key") as client:
            pending = [
                asyncio.create_task(client.document(DOCUMENT)),
                asyncio.create_task(anext(client.speak(DOCUMENT, stop=2))),
                asyncio.create_task(anext(client.statuses(DOCUMENT, stop=2))),
            ]
            await async_wait_until(lambda: len(connections) == len(pending))
        ends = await all_of(pending)

        assert all(isinstance(end, ClientError) for end in ends), ends
        await async_wait_until(lambda: not threads())
        await async_wait_until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
        with pytest.raises(ClientError, match="closed"):
            await client.document(DOCUMENT)


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("yapit-client")]


@pytest.mark.parametrize("key", ["", "yk_key\n", "yk key", "yk_ß", "a\r\nHost: b"])
def test_an_invalid_key_is_refused_without_being_quoted(key):
    with pytest.raises(ValueError, match="not an API key") as refusal:
        Client("http://127.0.0.1:1", key)
    assert not key or key not in str(refusal.value)
