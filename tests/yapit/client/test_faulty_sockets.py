"""A client that is lied to, cut off and turned away goes on where it can, and says why where it cannot."""

import json

import pytest

from tests.yapit.client.scripted_server import DOCUMENT, URL, answer, hear, raw, strange
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
async def test_garbage_is_stepped_over(garbage):
    async def behave(visit):
        await visit.asked()
        await visit.socket.send(garbage)
        await visit.tell(0)
        await visit.tell(1)
        await visit.answer()

    async with strange(behave) as url, client(url) as one:
        assert await hear(one) == BOTH


async def test_a_lost_frame_is_noticed_by_its_number_and_asked_for_again():
    async def behave(visit):
        await visit.asked()
        await visit.tell(0, seq=1)
        await visit.tell(1, "queued", seq=3)
        assert await visit.asked() == [1]
        await visit.tell(1)

    async with strange(behave) as url, client(url) as one:
        assert await hear(one) == BOTH


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013])
async def test_a_lost_connection_comes_back_and_asks_for_what_is_missing(code):
    async def behave(visit):
        if visit.number == 1:
            await visit.asked()
            await visit.tell(0)
            await visit.socket.close(code)
        else:
            assert await visit.asked() == [1]
            await visit.tell(1)

    async with strange(behave) as url, client(url) as one:
        assert await hear(one) == BOTH


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
async def test_a_refusal_for_good_is_said_at_once(code, error):
    async def behave(visit):
        await visit.socket.close(code)

    async with strange(behave) as url, client(url) as one:
        with pytest.raises(error):
            await hear(one)


@pytest.mark.parametrize(("code", "said"), [(1013, "unavailable"), (4429, "too_many_connections")])
async def test_who_is_only_ever_told_to_come_back_learns_why(code, said, monkeypatch):
    monkeypatch.setattr("yapit.client.reconnecting_socket.TOO_MANY_SECONDS", 0.1)

    async def behave(visit):
        await visit.socket.close(code)

    async with strange(behave) as url, client(url, patience=0.2) as one:
        with pytest.raises(Refused) as refusal:
            await hear(one)
    assert (refusal.value.code, refusal.value.retry_after) == (said, 30.0)


@pytest.mark.parametrize(
    ("status", "error"), [(401, NotAuthenticated), (403, OriginRefused), (404, Refused), (302, Refused)]
)
async def test_a_refusal_in_place_of_a_socket_is_said_at_once(status, error):
    async def behave(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(status))

    async with raw(behave) as url, client(url) as one:
        with pytest.raises(error):
            await hear(one)


async def test_a_connection_that_is_cut_in_the_middle_of_a_message_comes_back():
    async def behave(visit):
        if visit.number == 1:
            await visit.asked()
            await visit.tell(0)
            visit.socket.transport.write(b'\x81\x7e\x01\x00{"type": "status", "seq": 2, ')
            visit.socket.transport.abort()
        else:
            assert await visit.asked() == [1]
            await visit.tell(1)

    async with strange(behave) as url, client(url) as one:
        assert await hear(one) == BOTH


async def test_a_message_in_pieces_is_one_message():
    async def behave(visit):
        await visit.asked()
        await visit.socket.send(iter(json.dumps(STATUS | {"audio_url": URL})))
        visit.seq = 1
        await visit.tell(1)

    async with strange(behave) as url, client(url) as one:
        assert await hear(one) == BOTH


async def test_who_is_told_to_slow_down_waits_and_asks_again():
    async def behave(visit):
        first = await visit.asked() + await visit.asked()
        await visit.say(
            type="error", code="rate_limited", error="Slowly.", retry_after=0.3, block_indices=first
        )
        await visit.answer()

    async with strange(behave) as url, client(url) as one:
        assert await hear(one) == BOTH


@pytest.mark.parametrize("wait", [None, 0, -1, 1e300])
async def test_an_odd_wait_is_bounded(wait, monkeypatch):
    monkeypatch.setattr("yapit.client.session.LONGEST_HOLD", 0.3)

    async def behave(visit):
        await visit.asked()
        await visit.say(type="error", code="unavailable", error="", retry_after=wait)
        await visit.answer()

    async with strange(behave) as url, client(url) as one:
        assert await hear(one, 1) == {0: "cached"}


async def test_a_request_that_is_refused_ends_with_its_code():
    async def behave(visit):
        await visit.asked()
        await visit.say(type="error", code="voice_not_found", error="No such voice.")
        await visit.socket.wait_closed()

    async with strange(behave) as url, client(url) as one:
        with pytest.raises(Refused, match="No such voice") as refusal:
            await hear(one)
    assert refusal.value.code == "voice_not_found"


async def test_blocks_that_are_evicted_unasked_are_asked_for_again():
    async def behave(visit):
        await visit.asked()
        await visit.say(type="evicted", document_id=DOCUMENT, block_indices=[0])
        await visit.answer()

    async with strange(behave) as url, client(url) as one:
        assert await hear(one, 1) == {0: "cached"}


async def test_a_server_that_only_sends_too_much_is_given_up():
    async def behave(visit):
        await visit.socket.send("x" * 3_000_000)
        await visit.socket.wait_closed()

    async with strange(behave) as url, client(url, patience=0.5) as one:
        with pytest.raises(Unreachable):
            await hear(one)


async def test_nobody_there_is_said_when_patience_is_over():
    async with client("http://127.0.0.1:1", patience=0.2) as one:
        with pytest.raises(Unreachable):
            await hear(one)
        with pytest.raises(Unreachable):
            await one.document(DOCUMENT)


async def test_audio_is_fetched_from_nowhere_else():
    async with client("http://127.0.0.1:1") as one:
        with pytest.raises(ValueError, match="not the address of audio"):
            await one.audio("https://elsewhere.example/v1/audio/" + "0" * 64)


def test_the_address_of_a_server_is_checked():
    with pytest.raises(ValueError, match="not the address of a server"):
        Client("ftp://somewhere", "yk_key")
