"""Races between requests, notifications and cancellation, with a control for each guard."""

import pytest
from asgiref.sync import sync_to_async

from tests.waiting import async_wait_until
from tests.yapit.factories import make_document, make_model, make_user, make_voice
from tests.yapit.jobs.job_steps import finish
from tests.yapit.sockets.socket_client import Listener, brief, listener, work_off
from yapit import jobs
from yapit.accounts import identity, keys
from yapit.catalog import resolution
from yapit.models import Voice
from yapit.realtime import messages
from yapit.realtime.answers import BlockAnswers
from yapit.realtime.subscribers import Subscribers

pytestmark = pytest.mark.django_db(transaction=True)
NEVER = 3600


@pytest.fixture
def document(redis, settings):
    settings.DEFAULT_MODEL = "tone"
    settings.RESYNC_SECONDS = NEVER  # except in tests of the resync
    resolution.forget()
    identity.forget()
    make_voice("sine", model=make_model("tone"))
    return make_document(make_user("local"), "One.", "Two.")


@pytest.fixture
def claim(redis):
    return sync_to_async(lambda: jobs.claim(redis, "tone", "w"))


@pytest.fixture
def finished(redis):
    return sync_to_async(lambda job: finish(redis, job))


async def charges(redis):
    entries = await sync_to_async(redis.xrange)("billing")
    return [(int(fields[b"user"]), int(fields[b"billable"])) for _, fields in entries]


async def evict(one, document):
    await one.send(type="cursor_moved", document_id=str(document.pk), cursor=9)
    assert (await one.frame())["type"] == "evicted"


async def other_account(text):
    """A document of another account with this text, and the headers of that account's key."""

    def make():
        user = make_user("other")
        token = keys.create_key(user, "phone").token
        return make_document(user, text), [
            (b"host", b"127.0.0.1"),
            (b"authorization", f"Bearer {token}".encode()),
        ]

    return await sync_to_async(make)()


# --- Notifications ---------------------------------------------------------------------------------------


@pytest.fixture
def spoken_before_queued(redis, monkeypatch):
    """The block is spoken, and its notification received, before ENQUEUE is answered."""
    received, enqueue, on_notification = [], jobs.enqueue, BlockAnswers.on_notification

    def record(self, *notification):
        on_notification(self, *notification)
        received.append(notification)

    async def enqueue_and_speak(*args):
        enqueued = await enqueue(*args)
        await work_off(redis)
        await async_wait_until(lambda: received)
        return enqueued

    monkeypatch.setattr(BlockAnswers, "on_notification", record)
    monkeypatch.setattr(jobs, "enqueue", enqueue_and_speak)


async def test_queued_never_follows_cached(document, spoken_before_queued):
    async with listener() as one:
        await one.ask(document, 0)

        assert [(await one.frame())["status"] for _ in range(2)] == ["queued", "cached"]
        assert await one.is_quiet()


async def test_without_holding_back_an_early_notification_queued_follows_cached(
    document, monkeypatch, spoken_before_queued
):
    """The control of the test above."""
    on_notification = BlockAnswers.on_notification

    def deliver_at_once(self, variant, *rest):
        for block in self.pending.of_hash(variant):
            block.is_queued_sent = True
        on_notification(self, variant, *rest)

    monkeypatch.setattr(BlockAnswers, "on_notification", deliver_at_once)
    monkeypatch.setattr(BlockAnswers, "send_queued", lambda self, block: self.send(messages.queued(block)))
    async with listener() as one:
        await one.ask(document, 0)

        assert [(await one.frame())["status"] for _ in range(2)] == ["cached", "queued"]


@pytest.mark.parametrize(("seconds", "is_answered"), [(0.1, True), (NEVER, False)])
async def test_after_a_lost_notification_only_the_resync_answers(
    document, redis, settings, monkeypatch, seconds, is_answered
):
    """The second case is the control: without a resync the block stays pending."""
    settings.RESYNC_SECONDS = seconds
    monkeypatch.setattr(Subscribers, "deliver", lambda *notification: None)
    async with listener() as one:
        await one.ask(document, 0)
        await one.frame()

        await work_off(redis)

        if is_answered:
            assert brief(await one.frame())[1:3] == (0, "cached")
        assert await one.is_quiet()


# --- Repeated requests -----------------------------------------------------------------------------------


async def test_repeated_requests_of_a_pending_block_join_and_end_once(document, redis):
    async with listener() as one:
        for _ in range(3):
            await one.ask(document, 0)
        queued = await one.frames(3)
        await work_off(redis)
        ended = await one.frame()

        assert [frame["status"] for frame in queued] == ["queued"] * 3
        assert ended["status"] == "cached"
        assert await one.is_quiet()
    assert len(await charges(redis)) == 1


async def test_repeated_requests_of_a_finished_block_are_answered_each_time(document, redis):
    async with listener() as one:
        await one.ask(document, 0)
        await one.frame()
        await work_off(redis)
        await one.frame()
        for _ in range(2):
            await one.ask(document, 0)

        assert [frame["status"] for frame in await one.frames(2)] == ["cached", "cached"]
    assert len(await charges(redis)) == 1


# --- Seeking ---------------------------------------------------------------------------------------------


async def test_audio_of_a_running_job_without_subscribers_is_kept(document, redis, claim, finished):
    async with listener() as one:
        await one.ask(document, 0)
        await one.frame()
        job = await claim()
        await evict(one, document)
        await finished(job)
        assert await one.is_quiet()

        await one.ask(document, 0)

        assert (await one.frame())["status"] == "cached"
    assert len(await charges(redis)) == 1


async def test_a_running_job_that_one_subscriber_left_is_delivered_to_the_others(document, claim, finished):
    async with listener() as one:
        other = Listener()
        await other.connect()
        for each in (one, other):
            await each.ask(document, 0)
            await each.frame()
        job = await claim()
        await evict(one, document)

        await finished(job)

        assert (await other.frame())["status"] == "cached"
        assert await one.is_quiet()
        await other.close()


@pytest.mark.parametrize("is_shared", [True, False])
async def test_seeking_leaves_the_job_to_another_account_which_pays_for_it(
    document, redis, monkeypatch, is_shared
):
    """The second case is the control: a job of its first user only would be lost for the other."""
    theirs, headers = await other_account("One.")

    async def drop_the_job(link, members):
        await sync_to_async(redis.delete)(*await sync_to_async(redis.keys)("job:*"))

    if not is_shared:
        monkeypatch.setattr(jobs, "cancel", drop_the_job)
    async with listener() as one:
        other = Listener(headers=headers)
        await other.connect()
        await one.ask(document, 0)
        await one.frame()
        await other.ask(theirs, 0)
        await other.frame()

        await evict(one, document)
        await async_wait_until(sync_to_async(lambda: has_left(redis, document.owner_id) or not is_shared))
        await work_off(redis)

        if is_shared:
            assert (await other.frame())["status"] == "cached"
        assert await other.is_quiet()
        assert await charges(redis) == ([(theirs.owner_id, 1)] if is_shared else [])
        await other.close()


def has_left(redis, user_id):
    [subscribers] = [redis.smembers(key) for key in redis.keys("subs:*")]
    return not any(member.startswith(b"%d:" % user_id) for member in subscribers)


# --- Another voice ---------------------------------------------------------------------------------------


async def test_statuses_after_a_change_of_voice_name_their_voice(document, redis, claim, finished):
    sine = await sync_to_async(Voice.objects.select_related("model").get)(slug="sine")
    await sync_to_async(make_voice)("slow", model=sine.model)
    async with listener() as one:
        await one.ask(document, 0, voice="sine")
        await one.frame()
        first = await claim()
        await one.ask(document, 0, voice="slow")
        queued = await one.frame()
        second = await claim()

        await finished(second)
        new = await one.frame()
        await finished(first)
        old = await one.frame()

    assert [(f["voice_slug"], f["status"]) for f in (queued, new, old)] == [
        ("slow", "queued"),
        ("slow", "cached"),
        ("sine", "cached"),
    ]
    assert queued["audio_url"] == new["audio_url"] != old["audio_url"]
