"""Events of the client: the state is re-read after each loss, and faults of the server end nothing else."""

import asyncio
import json
from uuid import UUID

import pytest

from tests.yapit.client.scripted_server import DOCUMENT, socket_server
from yapit.client import Client, ClientError, Event, NotAuthenticated, Refused

CONNECTED = Event("connected")
ID = UUID(DOCUMENT)
OTHER = "00000000-0000-0000-0000-000000000002"


def client(url, patience=30.0):
    return Client(url, "yk_key", patience=patience)


async def watched(connection):
    """Wait for `watch` and return the documents."""
    message = json.loads(await connection.socket.recv())
    assert message["type"] == "watch"
    return message["document_ids"]


async def connect_and_watch(connection, *documents):
    await connection.send(type="connected")
    assert await watched(connection) == list(documents)
    await connection.send(type="watching", document_ids=documents)


async def stay(connection):
    await connection.socket.wait_closed()


async def take(events, count):
    async with asyncio.timeout(30):
        return [await anext(events) for _ in range(count)]


async def test_the_first_event_follows_the_confirmation_that_documents_are_watched():
    is_confirmed = False

    async def script(connection):
        nonlocal is_confirmed
        await connection.send(type="connected")
        assert await watched(connection) == [DOCUMENT]
        await connection.send(type="changed", subject="balance")
        is_confirmed = True
        await connection.send(type="watching", document_ids=[DOCUMENT])
        await connection.send(type="changed", subject="document", document_id=DOCUMENT)
        await stay(connection)

    async with socket_server(script) as url, client(url) as subject:
        events = subject.events(documents=[DOCUMENT])
        [first] = await take(events, 1)
        if first == Event("balance"):  # read before the confirmation arrived
            [first] = await take(events, 1)

        assert (first, is_confirmed) == (CONNECTED, True)
        assert await take(events, 1) == [Event("document", ID)]
        await events.aclose()


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013])
async def test_after_a_lost_connection_documents_are_watched_again_and_the_state_is_read_again(code):
    async def script(connection):
        await connect_and_watch(connection, DOCUMENT)
        if connection.number == 1:
            await connection.socket.close(code)
        await stay(connection)

    async with socket_server(script) as url, client(url) as subject:
        events = subject.events(documents=[DOCUMENT])

        assert await take(events, 2) == [CONNECTED, CONNECTED]
        await events.aclose()


async def test_a_lost_frame_makes_the_client_read_the_state_again():
    is_read = asyncio.Event()

    async def script(connection):
        await connection.send(type="connected")
        await is_read.wait()
        await connection.send(type="changed", subject="keys", seq=3)
        await stay(connection)

    async with socket_server(script) as url, client(url) as subject:
        events = subject.events()
        assert await take(events, 1) == [CONNECTED]
        is_read.set()

        assert await take(events, 1) == [CONNECTED]
        await events.aclose()


async def test_documents_that_are_gone_are_not_watched_again():
    async def script(connection):
        await connection.send(type="connected")
        documents = await watched(connection)
        if connection.number == 1:
            assert documents == [DOCUMENT, OTHER]
            error = {"code": "document_not_found", "error": "There is none.", "document_id": DOCUMENT}
            await connection.send(type="error", **error)
            await connection.send(type="watching", document_ids=[OTHER])
            await connection.socket.close(1012)
        else:
            assert documents == [OTHER]
            await connection.send(type="watching", document_ids=[OTHER])
            await connection.send(type="document_gone", document_id=OTHER)
            await stay(connection)

    async with socket_server(script) as url, client(url) as subject:
        events = subject.events(documents=[DOCUMENT, OTHER])
        received = await take(events, 4)

        gone = {event.document_id for event in received if event.kind == "document_gone"}
        assert gone == {ID, UUID(OTHER)}
        assert received.count(CONNECTED) == 2
        await events.aclose()


async def test_a_refusal_for_a_moment_is_repeated():
    async def script(connection):
        await connection.send(type="connected")
        await watched(connection)
        await connection.send(type="error", code="rate_limited", error="Wait.", retry_after=0.01)
        await watched(connection)
        await connection.send(type="watching", document_ids=[DOCUMENT])
        await stay(connection)

    async with socket_server(script) as url, client(url) as subject:
        events = subject.events(documents=[DOCUMENT])

        assert await take(events, 1) == [CONNECTED]
        await events.aclose()


async def test_other_refusals_are_raised():
    async def script(connection):
        await connection.send(type="connected")
        await connection.send(type="error", code="too_many_watched", error="Too many.")
        await stay(connection)

    async with socket_server(script) as url, client(url) as subject:
        with pytest.raises(Refused) as caught:
            await take(subject.events(documents=[DOCUMENT]), 9)
    assert caught.value.code == "too_many_watched"


async def test_a_revoked_key_ends_the_events():
    async def script(connection):
        await connection.send(type="connected")
        await connection.socket.close(4401)

    async with socket_server(script) as url, client(url) as subject:
        with pytest.raises(NotAuthenticated):
            await take(subject.events(), 2)


async def test_equal_events_that_are_not_taken_yet_are_kept_once():
    async def script(connection):
        await connection.send(type="connected")
        for _ in range(1000):
            await connection.send(type="changed", subject="balance")
        await connection.send(type="changed", subject="voices")
        await stay(connection)

    async with socket_server(script) as url, client(url) as subject:
        events = subject.events()
        received = []
        while Event("voices") not in received:
            await asyncio.sleep(0.05)  # slower than the server
            received += await take(events, 1)

        assert len(received) < 100
        await events.aclose()


async def test_unreadable_frames_are_skipped():
    async def script(connection):
        await connection.send(type="connected")
        for garbage in ("", "[]", '{"type": "changed"}', '{"type": "of next year", "seq": 1}', b"\xff"):
            await connection.socket.send(garbage)
        await connection.send(type="changed", subject="balance")
        await stay(connection)

    async with socket_server(script) as url, client(url) as subject:
        events = subject.events()

        assert Event("balance") in await take(events, 2)
        await events.aclose()


async def test_closing_the_client_ends_its_events():
    async def script(connection):
        await connection.send(type="connected")
        await stay(connection)

    async with socket_server(script) as url, client(url) as subject:
        events = subject.events()
        await take(events, 1)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await subject.__aexit__(None, None, None)

        with pytest.raises(ClientError):
            await waiting
