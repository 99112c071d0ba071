"""The HTTP side of the client, against servers that lie, break off, send it away, or say nothing."""

import asyncio
import hashlib
import json
import threading

import pytest

from tests.waiting import async_wait_until
from tests.yapit.client.scripted_server import DOCUMENT, URL, answer, raw
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
    answer(200, b"<html>Log in to the Wi-Fi</html>"),
    answer(200, b"[" * 100_000),
    answer(200, b"[]"),
    answer(200, json.dumps({"id": "no id", "title": 5, "block_count": "many"}).encode()),
    answer(302, location="http://["),
    answer(301, location="https://elsewhere.example/"),
]


def saying(*answers):
    """A server that says these, one for each request, and the last one again and again."""
    left = list(answers)

    async def behave(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()

    return raw(behave)


def error(status, code, retry_after=None, **more):
    headers = {} if retry_after is None else {"retry_after": retry_after}
    return answer(status, json.dumps({"error": {"code": code, "message": "No.", **more}}).encode(), **headers)


def spoken(body=OGG, checksum=None):
    checksum = checksum or hashlib.sha256(body).hexdigest()
    return answer(200, body, content_type="audio/ogg", x_audio_sum=checksum, x_duration_ms=5)


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[:40]))
async def test_garbage_ends_in_an_error_of_the_clients_own(garbage, monkeypatch):
    monkeypatch.setattr("yapit.client.reconnecting_socket.FIRST_PAUSE", 0.01)
    async with saying(garbage) as url, Client(url, "yk_key", patience=0.05) as client:
        for asking in (
            client.document(DOCUMENT),
            client.create_document("A text."),
            client.synthesize("A text."),
            client.audio(URL),
            anext(client.statuses(DOCUMENT, stop=1)),
        ):
            with pytest.raises(ClientError):
                await asking


async def test_no_redirect_takes_the_key_along():
    visitors = []

    async def elsewhere(reader, writer):
        visitors.append(await reader.read(1000))

    async with (
        raw(elsewhere) as other,
        saying(answer(307, location=f"{other}/")) as url,
        Client(url, "yk_key") as client,
    ):
        with pytest.raises(Refused) as refusal:
            await client.document(DOCUMENT)
        with pytest.raises(Refused):
            await anext(client.statuses(DOCUMENT, stop=1))
    assert (refusal.value.code, visitors) == ("moved", [])


async def test_what_is_worth_another_try_gets_one(monkeypatch):
    monkeypatch.setattr("yapit.client.http_client.FIRST_PAUSE", 0.01)
    answers = [
        error(503, "unavailable", 0),
        error(429, "rate_limited", 0),
        error(504, "timeout", 0),
        answer(502, b"a proxy"),
        b"",
        spoken(),
    ]
    async with saying(*answers) as url, Client(url, "yk_key", patience=30) as client:
        assert (await client.synthesize("A text.")).audio == OGG


@pytest.mark.parametrize(
    ("said", "raised", "code"),
    [
        (error(401, "not_authenticated"), NotAuthenticated, "not_authenticated"),
        (error(402, "usage_limit"), UsageLimit, "usage_limit"),
        (error(404, "voice_not_found"), Refused, "voice_not_found"),
        (error(422, "nothing_to_speak"), Refused, "nothing_to_speak"),
        (error(429, "rate_limited", 3600), Refused, "rate_limited"),
        (error(502, "engine_failed"), Refused, "engine_failed"),
        (answer(500, b"oops"), Refused, "http_500"),
        (answer(200, b"<html>", content_type="text/html"), Refused, "bad_answer"),
        (spoken(checksum="0" * 64), Refused, "bad_answer"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
async def test_what_would_be_the_same_again_is_said_at_once(said, raised, code):
    never = b"HTTP/1.1 500 This was to be the last\r\ncontent-length: 0\r\n\r\n"
    async with saying(said, never) as url, Client(url, "yk_key", patience=60) as client:
        with pytest.raises(raised) as refusal:
            await client.synthesize("A text.")
    assert refusal.value.code == code


async def test_a_spent_allowance_says_what_is_left():
    usage = {"available": 1, "limit": 2, "used": 3, "requested": 4, "period_end": None}
    async with saying(error(402, "usage_limit", usage=usage)) as url, Client(url, "yk_key") as client:
        with pytest.raises(UsageLimit) as refusal:
            await client.synthesize("A text.")
    assert (refusal.value.usage.available, refusal.value.index) == (1, None)


async def test_how_long_to_wait_is_said():
    async with saying(error(429, "rate_limited", 3600)) as url, Client(url, "yk_key") as client:
        with pytest.raises(Refused) as refusal:
            await client.synthesize("A text.")
    assert refusal.value.retry_after == 3600


async def test_a_document_is_not_made_twice():
    """Who hangs up may have made it."""
    visits = []

    async def behave(reader, writer):
        visits.append(await reader.readuntil(b"\r\n\r\n"))

    async with raw(behave) as url, Client(url, "yk_key") as client:
        with pytest.raises(Unreachable):
            await client.create_document("A text.")
    assert len(visits) == 1


async def test_who_says_nothing_is_given_up():
    async with raw(silence) as url, Client(url, "yk_key", patience=0.5) as client:
        with pytest.raises(Unreachable):
            await client.document(DOCUMENT)


async def silence(reader, writer):
    await reader.read()


async def test_who_trickles_is_given_up():
    async def behave(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw(behave) as url, Client(url, "yk_key", patience=0.5) as client:
        with pytest.raises(Unreachable):
            await client.document(DOCUMENT)


async def test_the_server_is_told_when_nobody_waits_any_more():
    ends = asyncio.Queue()

    async def behave(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        ends.put_nowait("asked")
        while await reader.read(1000):
            pass
        ends.put_nowait("gone")

    async with raw(behave) as url, Client(url, "yk_key") as client:
        asking = [asyncio.create_task(client.synthesize("A text.")) for _ in range(3)]
        for _ in range(3):
            assert await ends.get() == "asked"
        for task in asking:
            task.cancel()
        async with asyncio.timeout(30):
            for _ in range(3):
                assert await ends.get() == "gone"
        assert all(isinstance(end, asyncio.CancelledError) for end in await all_of(asking))


async def all_of(tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_client_that_is_left_lets_go_of_everything():
    """Threads, connections, and whoever still waits."""
    async with raw(silence) as url:
        async with Client(url, "yk_key") as client:
            waiting = [
                asyncio.create_task(client.document(DOCUMENT)),
                asyncio.create_task(anext(client.speak(DOCUMENT, stop=2))),
                asyncio.create_task(anext(client.statuses(DOCUMENT, stop=2))),
            ]
            await async_wait_until(lambda: threads() and client._sessions)
        ends = await all_of(waiting)

        assert all(isinstance(end, ClientError) for end in ends), ends
        await async_wait_until(lambda: not threads())
        await async_wait_until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
        with pytest.raises(ClientError, match="closed"):
            await client.document(DOCUMENT)


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("yapit-client")]


@pytest.mark.parametrize("key", ["", "yk_key\n", "yk key", "yk_ß", "a\r\nHost: b"])
def test_a_key_that_cannot_be_one_is_refused_without_being_repeated(key):
    with pytest.raises(ValueError, match="not an API key") as refusal:
        Client("http://127.0.0.1:1", key)
    assert not key or key not in str(refusal.value)
