"""The WebSocket: messages of clients, and exactly one terminal status for each requested block."""

import json

import pytest
from asgiref.sync import sync_to_async

from config import caching
from tests.billing.usage_events import make_subscription
from tests.waiting import PATIENCE, async_wait_until
from tests.yapit.factories import make_document, make_model, make_user, make_voice
from tests.yapit.jobs.job_steps import at_rest
from tests.yapit.sockets.socket_client import (
    PAGE,
    Listener,
    brief,
    fail_all,
    listener,
    work_off,
)
from yapit.accounts import identity, keys
from yapit.catalog import resolution
from yapit.realtime import notifications
from yapit.realtime.subscribers import Subscribers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def document(redis, settings):
    """A document of three blocks that belongs to the single user, and a voice."""
    settings.DEFAULT_MODEL = "tone"
    settings.RESYNC_SECONDS = 0.2
    settings.ABANDONED_SECONDS = 0.1
    resolution.forget()
    identity.forget()
    make_voice("sine", model=make_model("tone"))
    return make_document(make_user("local"), "One.", "Two.", "Three.")


async def test_a_block_is_queued_and_then_cached_with_address_and_duration(document, redis):
    async with listener() as client:
        await client.ask(document, 0)
        queued = await client.frame()
        await work_off(redis)
        cached = await client.frame()

    assert (queued["pause_ms"], cached["pause_ms"]) == (None, 250)
    assert (queued["status"], queued["audio_url"]) == ("queued", cached["audio_url"])
    assert (cached["status"], cached["duration_ms"]) == ("cached", 1234)
    assert (cached["model_slug"], cached["voice_slug"]) == ("tone", "sine")
    assert [queued["seq"], cached["seq"]] == [1, 2]
    assert cached["audio_url"].startswith("/v1/audio/")


async def test_cached_blocks_are_answered_in_the_order_of_the_request(document, redis):
    async with listener() as client:
        await client.ask(document, 0, 1, 2)
        await client.frames(3)
        await work_off(redis)
        await client.frames(3)

        await client.ask(document, 2, 0, 1)

        assert [(f["block_idx"], f["status"]) for f in await client.frames(3)] == [
            (2, "cached"),
            (0, "cached"),
            (1, "cached"),
        ]


async def test_indices_out_of_range_are_skipped_and_duplicates_answered_once(document):
    async with listener() as client:
        await client.ask(document, -1, 99, 10**30, 0, 0)
        frames = await client.frames(4)

        assert [brief(frame)[1:] for frame in frames] == [
            (-1, "skipped", "out_of_range"),
            (99, "skipped", "out_of_range"),
            (10**30, "skipped", "out_of_range"),
            (0, "queued", None),
        ]
        assert await client.is_quiet()


async def test_requests_without_existing_blocks_do_not_stop_the_connection(document):
    async with listener() as client:
        await client.ask(document)
        await client.send(type="cursor_moved", document_id=str(document.pk), cursor=10**30)
        await client.ask(document, 99)
        await client.ask(document, 1)

        assert [brief(frame)[1:3] for frame in await client.frames(2)] == [(99, "skipped"), (1, "queued")]
        assert await client.is_quiet()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", "invalid_message"),
        ("[]", "invalid_message"),
        ("null", "invalid_message"),
        ('"text"', "invalid_message"),
        ("[" * 5000, "invalid_message"),
        ("NaN", "invalid_message"),
        ('{"type": "dance"}', "unknown_type"),
        ("{}", "invalid_message"),
        ('{"type": "synthesize"}', "invalid_message"),
        ('{"type": "synthesize", "document_id": "x", "block_indices": []}', "invalid_message"),
        (
            json.dumps({"type": "synthesize", "document_id": "0" * 32, "block_indices": [1.5]}),
            "invalid_message",
        ),
        (
            json.dumps({"type": "synthesize", "document_id": "0" * 32, "block_indices": [0] * 33}),
            "too_many_blocks",
        ),
    ],
)
async def test_a_malformed_frame_gets_an_error_and_the_connection_continues(document, frame, code):
    async with listener() as client:
        await client.send_text(frame)
        error = await client.frame()

        await client.ask(document, 0)

        assert (error["type"], error["code"]) == ("error", code)
        assert (await client.frame())["status"] == "queued"


async def test_a_binary_frame_gets_an_error(document):
    async with listener() as client:
        await client.send_bytes(b"\x00\xff")

        assert (await client.frame())["code"] == "binary_frame"


async def test_errors_for_unknown_document_model_and_voice_name_the_request(document):
    private = await sync_to_async(make_document)()
    async with listener() as client:
        await client.ask(private, 0)
        await client.ask(document, 0, model="unknown")
        await client.ask(document, 1, voice="unknown")
        errors = await client.frames(3)

    assert [error["code"] for error in errors] == ["document_not_found", "model_not_found", "voice_not_found"]
    assert [error["block_indices"] for error in errors] == [[0], [0], [1]]
    assert errors[0]["document_id"] == str(private.pk)


async def test_an_engine_error_is_sent_and_does_not_block_the_next_request(document, redis):
    async with listener() as client:
        await client.ask(document, 0)
        await client.frame()
        await fail_all(redis)
        error = await client.frame()
        await client.ask(document, 0)
        again = await client.frame()

    assert (error["status"], error["code"], error["recoverable"]) == ("error", "engine_failed", True)
    assert again["status"] == "queued"


async def test_spent_credit_refuses_blocks_without_audio(document):
    user = document.owner
    await sync_to_async(make_subscription)(user.pk, standard_limit=6)
    async with listener() as client:
        await client.ask(document, 0, 1)
        first, refused = await client.frames(2)

    assert first["status"] == "queued"
    assert (refused["status"], refused["code"], refused["recoverable"]) == ("error", "usage_limit", False)
    assert refused["usage"].pop("period_end")
    assert refused["usage"] == {"available": 2, "limit": 6, "used": 0, "requested": 4}


async def test_blocks_above_the_rate_are_refused_with_the_wait(document, settings):
    settings.BLOCKS_PER_MINUTE = 1
    async with listener() as client:
        await client.ask(document, 0, 1, 2)
        queued, error = await client.frames(2)

    assert brief(queued)[1:3] == (0, "queued")
    assert (error["type"], error["code"], error["block_indices"]) == ("error", "rate_limited", [1, 2])
    assert error["document_id"] == str(document.pk)
    assert 0 < error["retry_after"] <= 60


async def test_messages_above_the_rate_get_errors_and_the_connection_continues(document, settings):
    settings.MESSAGES_BURST, settings.MESSAGES_PER_SECOND = 2, 5
    async with listener() as client:
        for _ in range(4):
            await client.send(type="dance")
        codes = [frame["code"] for frame in await client.frames(4)]

        async def is_served():
            await client.ask(document, 0)
            return (await client.frame()).get("status") == "queued"

        await async_wait_until(is_served)

    assert codes[:2] == ["unknown_type", "unknown_type"]
    assert codes[3] == "rate_limited"


async def test_the_error_of_a_rate_limited_message_names_its_request_and_the_wait(document, settings):
    settings.MESSAGES_BURST, settings.MESSAGES_PER_SECOND = 1, 0.01
    async with listener() as client:
        await client.ask(document, 0)
        await client.frame()
        await client.ask(document, 2, 1)
        await client.send(type="cursor_moved", document_id=str(document.pk), cursor=1)
        await client.send(type="options", batched=True)
        errors = await client.frames(3)

    assert [error["code"] for error in errors] == ["rate_limited"] * 3
    assert [error["document_id"] for error in errors] == [str(document.pk), str(document.pk), None]
    assert [error["block_indices"] for error in errors] == [[2, 1], None, None]
    assert all(error["retry_after"] > 1 for error in errors)


async def test_connections_of_an_account_are_limited_and_a_closed_one_frees_its_slot(document, settings):
    settings.CONNECTIONS_PER_USER = 1
    async with listener() as client:
        await client.ask(document, 0)
        await client.frame()
        second = Listener()
        await second.connect()
        closed = await second.closing()
        assert (closed["code"], closed["reason"]) == (4429, "too_many_connections; retry_after=60")
        await client.close()

        async def has_room():
            third = Listener()
            await third.connect()
            await third.ask(document, 0)
            message = await third.socket.receive_output(PATIENCE)
            await third.close()
            return message["type"] == "websocket.send"

        await async_wait_until(has_room)


async def test_documents_of_an_account_are_limited_over_all_its_connections(document, settings, redis):
    settings.DOCUMENTS_PER_USER = 1
    other = await sync_to_async(make_document)(document.owner, "Elsewhere.")
    async with listener() as client, listener() as two:
        await client.ask(document, 0)
        await client.frame()
        await two.ask(other, 0)
        error = await two.frame()
        assert (error["code"], error["document_id"]) == ("too_many_documents", str(other.pk))
        assert error["block_indices"] == [0]
        assert 50 < error["retry_after"] <= 60

        await work_off(redis)
        assert (await client.frame())["status"] == "cached"
        await client.ask(other, 0)
        assert (await client.frame())["status"] == "queued"


async def test_statuses_are_batched_on_request(document, redis):
    async with listener() as client:
        await client.send(type="options", batched=True)
        await client.ask(document, 0, 1, 2)
        queued = await client.frame()
        await work_off(redis)
        ended = []
        while len(ended) < 3:
            frame = await client.frame()
            ended += frame["statuses"]

    assert queued["type"] == "statuses"
    assert [status["block_idx"] for status in queued["statuses"]] == [0, 1, 2]
    assert {status["seq"] for status in queued["statuses"]} == {queued["seq"]} == {1}
    assert [status["status"] for status in ended] == ["cached"] * 3


async def test_a_status_is_the_same_in_a_batch_and_alone_which_is_the_default(document, redis):
    async with listener() as client:
        await client.ask(document, 0)
        queued = await client.frame()
        await work_off(redis)
        cached = await client.frame()
        statuses = []
        for batched in (True, False):
            await client.send(type="options", batched=batched)
            await client.ask(document, 0)
            statuses.append(await client.frame())

    [batched], alone = statuses[0].pop("statuses"), statuses[1]
    assert statuses[0] == {"type": "statuses", "seq": 3}
    assert batched | {"seq": 0} == alone | {"seq": 0} == cached | {"seq": 0}
    assert queued.keys() == cached.keys() >= OF_OLDER_CLIENTS


# Fields of a status before codes, numbers and batches were added.
OF_OLDER_CLIENTS = {
    *("type", "document_id", "block_idx", "status", "audio_url", "error", "recoverable"),
    *("model_slug", "voice_slug", "word_timestamps", "duration_ms"),
}


async def test_the_error_of_a_full_redis_names_the_request_and_the_wait(document, redis, settings):
    settings.RESYNC_SECONDS = 3600  # a resync would request it again
    await sync_to_async(redis.config_set)("maxmemory", 1)
    async with listener() as client:
        try:
            await client.ask(document, 0, 2)
            error = await client.frame()
        finally:
            await sync_to_async(redis.config_set)("maxmemory", "512mb")
        await client.ask(document, 0, 2)
        await client.frames(2)
        await work_off(redis)
        ended = await client.frames(2)

    assert (error["type"], error["code"]) == ("error", "unavailable")
    assert (error["document_id"], error["block_indices"]) == (str(document.pk), [0, 2])
    assert error["retry_after"] == settings.RESYNC_SECONDS
    assert [frame["status"] for frame in ended] == ["cached"] * 2


async def test_seeking_drops_the_pending_blocks_of_this_connection_only(document, redis):
    async with listener() as client:
        other = Listener()
        await other.connect()
        await client.ask(document, 2, 0)
        await client.frames(2)
        await other.ask(document, 0)
        await other.frame()

        await client.send(type="cursor_moved", document_id=str(document.pk), cursor=1)
        evicted = await client.frame()
        await work_off(redis)

        assert (evicted["type"], evicted["block_indices"]) == ("evicted", [0, 2])
        assert brief(await other.frame())[1:3] == (0, "cached")
        assert await client.is_quiet()
        await other.close()


async def test_a_lost_notification_delays_the_answer_until_the_resync(document, redis, monkeypatch):
    monkeypatch.setattr(Subscribers, "deliver", lambda *notification: None)
    async with listener() as client:
        await client.ask(document, 0)
        await client.frame()

        await work_off(redis)

        assert (await client.frame())["status"] == "cached"


async def test_after_a_loss_of_data_in_redis_blocks_are_requested_again(document, redis):
    async with listener() as client:
        await client.ask(document, 0)
        await client.frame()
        await sync_to_async(redis.flushall)()
        await async_wait_until(sync_to_async(lambda: redis.keys("job:*")))

        await work_off(redis)

        assert (await client.frame())["status"] == "cached"
        assert await client.is_quiet()


async def test_a_block_whose_job_keeps_vanishing_ends_as_lost(document, redis):
    async with listener() as client:
        await client.ask(document, 0)
        await client.frame()

        async def vanish():
            await sync_to_async(redis.flushall)()
            return not client.socket.output_queue.empty()

        await async_wait_until(vanish)

        assert (await client.frame())["code"] == "lost"


async def test_a_closed_connection_stops_waiting(document, redis):
    async with listener():
        gone = Listener()
        await gone.connect()
        await gone.ask(document, 0)
        await gone.frame()

        await gone.close()

        await async_wait_until(sync_to_async(lambda: at_rest(redis)))


async def test_reconnecting_within_the_grace_period_keeps_the_job(document, redis, settings):
    settings.ABANDONED_SECONDS = 0.3
    async with listener() as stays:
        first = Listener()
        await first.connect()
        await first.ask(document, 0)
        await first.frame()
        [job] = await sync_to_async(redis.keys)("job:*")
        await first.close()

        await stays.ask(document, 0)
        await stays.frame()
        await async_wait_until(sync_to_async(lambda: len(redis.smembers(redis.keys("subs:*")[0])) == 1))

        assert await sync_to_async(redis.keys)("job:*") == [job]


async def test_lost_audio_that_was_announced_is_made_again_unbilled(document, redis):
    async with listener() as client:
        await client.ask(document, 0)
        await client.frame()
        await work_off(redis)
        cached = await client.frame()
        await sync_to_async(redis.delete)("audio:" + cached["audio_url"].rpartition("/")[2])

        await client.ask(document, 0)
        await client.frame()
        await work_off(redis)

        assert (await client.frame())["status"] == "cached"
    billed = [entry[b"billable"] for _, entry in await sync_to_async(redis.xrange)("billing")]
    assert billed == [b"1", b"0"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([(b"host", b"127.0.0.1")], 4403),
        ([(b"host", b"127.0.0.1"), (b"origin", b"https://evil.example")], 4403),
        ([(b"host", b"rebound.example"), (b"origin", b"http://rebound.example")], 4403),
        ([*PAGE, (b"authorization", b"Bearer yk_wrong_key")], 4401),
    ],
)
async def test_a_refused_connection_is_closed_with_a_code(document, headers, code):
    client = Listener(headers=headers)
    await client.connect()

    assert await client.close_code() == code


async def test_a_deactivated_account_loses_its_open_connection(document, settings):
    settings.IDENTITY_SECONDS = 0.1
    async with listener() as client:
        document.owner.is_active = False
        await sync_to_async(document.owner.save)()
        identity.forget()

        assert await client.close_code() == 4401


async def test_a_revoked_key_closes_its_open_connections_at_once_and_no_others(document, settings):
    settings.IDENTITY_SECONDS = 3600  # only the event of the revocation is quicker
    made = await sync_to_async(keys.create_key)(document.owner, "a program")
    headers = [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer " + made.token.encode())]
    async with listener() as page:
        program = Listener(headers=headers)
        await program.connect()
        await program.ask(document, 0)
        assert (await program.frame())["status"] == "queued"
        await caching.listen().subscribed()

        await sync_to_async(keys.revoke)(made.key)

        assert await program.close_code() == 4401
        await page.ask(document, 1)
        assert (await page.frame())["status"] == "queued"


async def test_the_subprotocol_is_selected_when_offered(document):
    client = Listener(subprotocols=["yapit.v1"])

    assert await client.connect() == "yapit.v1"
    await client.close()
    await notifications.hub().close()
