"""The events socket: changes of an account and its documents, over the real channel layer."""

import asyncio
import json
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from billing.models import Plan
from billing.plans import balances
from billing.subscriptions import ensure_subscriptions
from config import caching
from config.database.offload import offload
from tests.waiting import PATIENCE, async_wait_until
from tests.yapit.factories import make_document, make_user
from tests.yapit.sockets import hostile_frames
from tests.yapit.sockets.socket_client import Listener, listener
from yapit import documents, invalidation, protocol
from yapit.accounts import identity, keys, preferences
from yapit.models import Document
from yapit.realtime import changes
from yapit.realtime.groups import LayerGroups
from yapit.realtime.notifications import hub
from yapit.sockets import outbox
from yapit.sockets.events_socket import EventsSocket

pytestmark = pytest.mark.django_db(transaction=True)
NEVER = 3600
EVENTS = {"consumer": EventsSocket}


@pytest.fixture
def user(redis, settings):
    settings.EPOCH_CHECK_SECONDS = NEVER  # except in tests of the comparison
    identity.forget()
    user = make_user("local")
    ensure_subscriptions([user.pk])
    return user


@pytest.fixture
def document(user):
    return make_document(user, "One.")


def with_key(token):
    return [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]


async def watch(client, *documents):
    """Watch, and return the frames up to the answer."""
    await client.send(type="watch", document_ids=[str(getattr(one, "pk", one)) for one in documents])
    return await frames_until(client, "watching")


async def frames_until(client, kind):
    frames = [await client.frame()]
    while frames[-1]["type"] != kind:
        frames.append(await client.frame())
    return frames


def told(frame):
    return frame["type"], frame.get("subject")


# --- The account ---------------------------------------------------------------------------------------


async def test_the_first_frame_says_that_changes_are_told_from_here_on(user):
    async with listener(**EVENTS) as client:
        first = await client.frame()

    assert first == {"type": "connected", "seq": 1}


CHANGES = {
    "balance": [
        lambda user: balances.assign(user.pk, Plan.objects.create(slug="large", name="Large")),
        lambda user: invalidation.charged(user.pk),
    ],
    "preferences": [lambda user: preferences.change(user.pk, {"usage_threshold": 50})],
    "keys": [lambda user: keys.create_key(user, "laptop")],
    "account": [lambda user: invalidation.accounts_changed(user.pk)],
    "voices": [
        lambda user: invalidation.access_changed(user.pk),
        lambda user: invalidation.catalog_changed(),
    ],
}


@pytest.mark.parametrize(
    ("subject", "change"), [(subject, one) for subject, some in CHANGES.items() for one in some]
)
async def test_a_change_of_the_account_is_told_once_and_without_a_value(user, subject, change):
    async with listener(**EVENTS) as client:
        await client.frame()

        await offload(change, user)

        assert await client.frame() == {"type": "changed", "seq": 2, "subject": subject, "document_id": None}
        assert await client.is_quiet()


async def test_changes_of_another_account_are_not_told(user):
    other = await offload(make_user, "other")
    async with listener(**EVENTS) as client:
        await client.frame()

        await offload(preferences.change, other.pk, {"usage_threshold": 50})
        await offload(preferences.change, user.pk, {"usage_threshold": 60})

        assert told(await client.frame()) == ("changed", "preferences")
        assert await client.is_quiet()


async def test_many_changes_at_once_are_told_in_few_frames(user):
    async with listener(**EVENTS) as client:
        await client.frame()

        for _ in range(50):
            await offload(invalidation.charged, user.pk)

        count = 0
        while not await client.is_quiet():
            assert told(await client.frame()) == ("changed", "balance")
            count += 1
        assert 1 <= count < 25


async def test_all_connections_of_an_account_are_told(user):
    async with listener(**EVENTS) as one:
        other = Listener(**EVENTS)
        await other.connect()
        for client in (one, other):
            await client.frame()

        await offload(invalidation.charged, user.pk)

        assert [told(await client.frame()) for client in (one, other)] == [("changed", "balance")] * 2
        await other.close()


# --- Documents -----------------------------------------------------------------------------------------


async def test_changes_of_a_watched_document_are_told_until_it_is_unwatched(document, user):
    async with listener(**EVENTS) as client:
        await client.frame()
        [watching] = await watch(client, document)
        assert watching["document_ids"] == [str(document.pk)]

        await offload(documents.change, document.pk, user.pk, title="Two")
        changed = await client.frame()
        await client.send(type="unwatch", document_ids=[str(document.pk)])
        unwatched = await client.frame()
        await offload(documents.change, document.pk, user.pk, title="Three")

        assert (changed["type"], changed["subject"], changed["document_id"]) == (
            "changed",
            "document",
            str(document.pk),
        )
        assert unwatched["document_ids"] == []
        assert await client.is_quiet()


async def test_a_deleted_document_is_gone_and_watched_no_longer(document, user):
    async with listener(**EVENTS) as client:
        await client.frame()
        await watch(client, document)

        await offload(documents.delete, document.pk, user.pk)
        gone = await client.frame()

        assert (gone["type"], gone["document_id"]) == ("document_gone", str(document.pk))
        assert (await watch(client))[-1]["document_ids"] == []


async def test_a_document_that_is_shared_no_longer_is_gone_for_others_only(document, user):
    await offload(documents.change, document.pk, user.pk, is_public=True)
    other = await offload(make_user, "other")
    key = await offload(keys.create_key, other, "phone")
    async with listener(**EVENTS) as owner:
        reader = Listener(headers=with_key(key.token), **EVENTS)
        await reader.connect()
        for client in (owner, reader):
            await client.frame()
            assert (await watch(client, document))[-1]["document_ids"] == [str(document.pk)]

        await offload(documents.change, document.pk, user.pk, is_public=False)

        assert told(await owner.frame()) == ("changed", "document")
        assert told(await reader.frame()) == ("document_gone", None)
        await offload(documents.change, document.pk, user.pk, title="Secret")
        assert told(await owner.frame()) == ("changed", "document")
        assert await reader.is_quiet()
        await reader.close()


async def test_documents_that_may_not_be_read_are_refused_by_name_and_the_others_watched(document):
    other = await offload(make_user, "other")
    private = await offload(make_document, other, "Secret.")
    unknown = uuid4()
    async with listener(**EVENTS) as client:
        await client.frame()

        *refused, watching = await watch(client, private, document, unknown, document)

        assert {(one["code"], one["document_id"]) for one in refused} == {
            ("document_not_found", str(private.pk)),
            ("document_not_found", str(unknown)),
        }
        assert watching["document_ids"] == [str(document.pk)]


async def test_more_documents_than_a_connection_may_watch_are_refused_together(document, user, monkeypatch):
    monkeypatch.setattr(protocol, "MAX_WATCHED", 2)
    more = [await offload(make_document, user, "More.") for _ in range(2)]
    async with listener(**EVENTS) as client:
        await client.frame()
        await watch(client, document)

        await client.send(type="watch", document_ids=[str(one.pk) for one in more])
        over = await client.frame()
        await client.send(type="watch", document_ids=[str(one.pk) for one in (document, *more)])
        far_over = await client.frame()

        assert [over["code"], far_over["code"]] == ["too_many_watched"] * 2
        assert (await watch(client, more[0]))[-1]["document_ids"] == [str(document.pk), str(more[0].pk)]


# --- Lost messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "is_told"), [(0.3, True), (NEVER, False)])
async def test_a_change_whose_message_is_lost_is_found_by_its_epoch(
    document, user, settings, monkeypatch, seconds, is_told
):
    """The second case is the control: without the comparison the change stays unknown."""
    settings.EPOCH_CHECK_SECONDS = seconds
    monkeypatch.setattr(changes.ChangeFeed, "on_message", lambda *message: None)
    async with listener(**EVENTS) as client:
        await client.frame()
        await watch(client, document)

        await offload(documents.change, document.pk, user.pk, title="Two")

        if is_told:
            assert told(await client.frame()) == ("changed", "document")
        assert await client.is_quiet()


async def test_after_a_lost_connection_to_redis_clients_read_again_and_are_woken_again(user, redis):
    async with listener(**EVENTS) as client:
        await client.frame()

        await offload(redis.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
        assert told(await client.frame()) == ("connected", None)

        async def is_told():
            await offload(invalidation.charged, user.pk)
            return not await client.is_quiet()

        await async_wait_until(is_told)
        assert told(await client.frame()) == ("changed", "balance")


async def test_messages_that_announce_nothing_new_are_not_passed_on(user):
    async with listener(**EVENTS) as client:
        await client.frame()

        group, event = f"account.{user.pk}", f"{invalidation.CREDIT}{user.pk}"
        for subject in (event, event, "credit:1", "unknown", None, 7):
            await get_channel_layer().group_send(group, {"type": "changed", "subject": subject})

        assert await client.is_quiet()


async def test_a_group_of_the_layer_receives_an_announcement_once(user):
    """The format in which scripts publish is that of channels_redis."""
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(f"account.{user.pk}", channel)

    received = []

    async def is_received():
        await offload(caching.announce, f"{invalidation.CREDIT}{user.pk}")
        try:
            received.append(await asyncio.wait_for(layer.receive(channel), 0.5))
        except TimeoutError:
            await layer.group_add(f"account.{user.pk}", channel)
        return received

    await async_wait_until(is_received)
    assert received[0] == {"type": "changed", "subject": f"{invalidation.CREDIT}{user.pk}"}


async def test_without_the_layer_connections_open_and_learn_of_changes_by_epochs(user, settings, monkeypatch):
    settings.EPOCH_CHECK_SECONDS = 0.3

    async def unreachable(*args):
        raise OSError("the layer is away")

    monkeypatch.setattr(LayerGroups, "join_wanted", lambda self: asyncio.sleep(0))
    monkeypatch.setattr(type(get_channel_layer()), "new_channel", unreachable, raising=False)
    async with listener(**EVENTS) as client:
        await client.frame()

        await offload(invalidation.charged, user.pk)

        assert told(await client.frame()) == ("changed", "balance")


# --- Refusals ------------------------------------------------------------------------------------------


async def test_a_revoked_key_closes_its_connection_and_is_told_to_others(user, settings):
    settings.IDENTITY_SECONDS = NEVER
    made = await offload(keys.create_key, user, "a program")
    async with listener(**EVENTS) as page:
        program = Listener(headers=with_key(made.token), **EVENTS)
        await program.connect()
        for client in (page, program):
            await client.frame()

        await offload(keys.revoke, made.key)

        assert told(await page.frame()) == ("changed", "keys")
        while (message := await program.socket.receive_output(PATIENCE))["type"] != "websocket.close":
            assert told(json.loads(message["text"])) == ("changed", "keys")
        assert message["code"] == 4401


async def test_a_draining_process_closes_with_1012(user):
    async with listener(**EVENTS) as client:
        await client.frame()

        await hub().ask_all_to_reconnect()

        assert await client.close_code() == 1012


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([(b"host", b"127.0.0.1")], 4403),
        ([(b"host", b"127.0.0.1"), (b"origin", b"https://evil.example")], 4403),
        (with_key("yk_wrong_key"), 4401),
    ],
)
async def test_a_refused_connection_is_closed_with_a_code(user, headers, code):
    client = Listener(headers=headers, **EVENTS)
    await client.connect()

    assert await client.close_code() == code


async def test_both_sockets_share_the_slots_of_an_account(user, settings):
    settings.CONNECTIONS_PER_USER = 1
    async with listener():
        client = Listener(**EVENTS)
        await client.connect()

        assert await client.close_code() == 4429


async def test_messages_are_counted_with_those_of_the_other_socket(user, settings):
    settings.MESSAGES_BURST, settings.MESSAGES_PER_SECOND = 2, 0.01
    async with listener(**EVENTS) as client:
        await client.frame()
        other = Listener()
        await other.connect()
        await other.send(type="hello")
        await other.frame()

        assert (await watch(client))[-1]["type"] == "watching"
        await client.send(type="watch", document_ids=[])
        refused = await client.frame()

        assert refused["code"] == "rate_limited"
        assert refused["retry_after"] > 0
        await other.close()


async def test_a_reader_that_is_too_slow_is_closed(user, monkeypatch):
    monkeypatch.setattr(outbox, "LIMIT", 0)
    client = Listener(**EVENTS)
    await client.connect()

    assert await client.close_code() == 1008
    await client.close()
    await hub().close()


async def test_hostile_frames_get_errors_without_internals_and_the_connection_continues(document, settings):
    settings.MESSAGES_BURST = 1000
    async with listener(**EVENTS) as client:
        await client.frame()
        for frame, code in hostile_frames.EVENTS_FRAMES:
            await (client.send_bytes if isinstance(frame, bytes) else client.send_text)(frame)
            answer = await client.frame()

            assert (answer["type"], answer["code"]) == ("error", code), frame[:100]
            assert len(answer["error"]) <= 200
            if code == "document_not_found":
                assert (await client.frame())["type"] == "watching"

        assert (await watch(client, document))[-1]["document_ids"] == [str(document.pk)]


# --- Nothing is left behind ----------------------------------------------------------------------------


async def test_closed_connections_leave_no_tasks_groups_and_slots(document, redis):
    async with listener(**EVENTS) as stays:
        await stays.frame()
        before = len(asyncio.all_tasks())
        for _ in range(10):
            client = Listener(**EVENTS)
            await client.connect()
            await client.frame()
            await watch(client, document)
            await client.close()

        feed = hub().changes
        await async_wait_until(lambda: len(asyncio.all_tasks()) <= before)
        subscribed = await sync_to_async(redis.pubsub_channels)("layer__group__*")
        assert f"layer__group__document.{document.pk}".encode() not in subscribed
        assert f"document:{document.pk}" not in feed.followed
        slots = await sync_to_async(redis.zcard)(f"limit:connections:{document.owner_id}")
        assert slots == 1


async def test_a_database_outage_delays_a_change_and_loses_none(document, user, settings, monkeypatch):
    settings.EPOCH_CHECK_SECONDS = 0.2
    readers_of, calls = documents.readers_of, []

    def fail_once(ids):
        calls.append(ids)
        if len(calls) == 2:  # the first is that of `watch`
            raise changes.OperationalError("away")
        return readers_of(ids)

    monkeypatch.setattr(documents, "readers_of", fail_once)
    async with listener(**EVENTS) as client:
        await client.frame()
        await watch(client, document)

        await offload(Document.objects.filter(pk=document.pk).update, title="Two")
        await offload(invalidation.documents_changed, document.pk)

        assert told(await client.frame()) == ("changed", "document")
        assert len(calls) == 3
