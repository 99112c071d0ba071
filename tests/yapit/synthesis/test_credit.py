"""Credit of accounts: read once for many messages, and again at once when it changes."""

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings

from billing.models import Balance, Plan
from billing.plans import balances
from billing.usage.consumer import BillingHandler
from config import caching
from config.caching.figures import figures
from config.redis import multiplexed
from config.streams import StreamConsumer
from tests.billing.usage_events import make_subscription
from tests.waiting import async_wait_until
from tests.yapit.factories import make_document, make_model, make_user, make_voice
from tests.yapit.jobs.job_steps import claim, enqueue, finish, make_spec, text_of
from tests.yapit.sockets.socket_client import Listener, listener, work_off
from yapit.accounts import identity, preferences
from yapit.catalog import resolution
from yapit.synthesis import credit as credits
from yapit.synthesis.credit import Limited, NotLoaded, Unlimited

pytestmark = pytest.mark.django_db(transaction=True)
NEVER = 3600
BY = {"reason": "a test", "operator": "ada"}
COUNTED = "reserved-counted"


@pytest.fixture
def document(redis, settings):
    """Ten blocks of four characters each, of an account that may spend twelve."""
    settings.DEFAULT_MODEL = "tone"
    settings.RESYNC_SECONDS = 0.1
    settings.IDENTITY_SECONDS = NEVER  # the interval of comparing epochs
    for module in (resolution, credits, identity, preferences):
        module.forget()
    make_voice("sine", model=make_model("tone"))
    user = make_user("local")
    make_subscription(user.pk, standard_limit=12)
    return make_document(user, *(f"No {number}" for number in range(10)))


@sync_to_async
def change(what, *args, **options):
    what(*args, **options)


def limit(document, characters):
    return change(balances.set_limits, document.owner_id, standard=characters, premium=0)


async def answers(client, document, *indices):
    """The code or status of each block, and the warnings sent before the last of them."""
    await client.ask(document, *indices)
    codes, warnings = {}, []
    while len(codes) < len(indices):
        frame = await client.frame()
        if frame["type"] == "status":
            codes[frame["block_idx"]] = frame["code"] or frame["status"]
        else:
            warnings.append((frame["type"], frame["available"]))
    return [codes[index] for index in indices], warnings


async def codes_of(client, document, *indices):
    return (await answers(client, document, *indices))[0]


async def becomes_queued(client, document, index):
    async def is_queued():
        return await codes_of(client, document, index) == ["queued"]

    await async_wait_until(is_queued)


def reserved_in(redis, document):
    return int(redis.hget(f"reserved:{document.owner_id}", "standard") or 0)


def is_cached(document):
    return not isinstance(credits.cached(document.owner_id, "standard"), NotLoaded)


def readings():
    return next(cache.rebuilds for cache in figures() if cache.name == "credits")


# --- One reading -----------------------------------------------------------------------------------------


async def test_a_balance_is_read_once_for_all_messages_of_all_connections(document):
    before, other = readings(), Listener()
    async with listener() as client:
        await other.connect()
        for index in range(3):
            assert await codes_of(client if index % 2 else other, document, index) == ["queued"]
        await other.close()

    assert readings() == before + 1


async def test_several_connections_of_an_account_spend_no_more_than_its_credit(document, redis):
    other = Listener()
    async with listener() as client:
        await other.connect()
        await client.ask(document, 0, 1, 2, 3)
        await other.ask(document, 4, 5, 6, 7)
        for each in (client, other):
            while (await each.frame()).get("block_idx") not in (3, 7):
                pass
        await other.close()

        assert await sync_to_async(reserved_in)(redis, document) == 12


async def test_unlimited_spent_and_unread_credit_are_different_values(document):
    user_id = document.owner_id
    await limit(document, 0)
    await change(balances.set_limits, user_id, standard=0, premium=None)
    credits.forget(user_id)
    link = multiplexed.MultiplexedConnection(django_settings.REDIS_URL)

    unknown = credits.cached(user_id, "standard")
    nothing = await credits.credit_of(link, user_id, "standard")
    unlimited = await credits.credit_of(link, user_id, "premium")
    await link.close()

    assert (type(unknown), type(nothing), type(unlimited)) == (NotLoaded, Limited, Unlimited)
    assert nothing.left == 0


# --- Warnings --------------------------------------------------------------------------------------------


async def test_a_warning_is_sent_once_until_the_account_has_recovered(document):
    async with listener() as client:
        assert await answers(client, document, 0, 1) == (["queued", "queued"], [])
        assert await answers(client, document, 2) == (["queued"], [])
        assert (await client.frame())["type"] == "usage_threshold"
        assert await answers(client, document, 3) == (["usage_limit"], [])
        await caching.listen().subscribed()
        await limit(document, 1000)
        await becomes_queued(client, document, 4)

        await limit(document, 20)

        warning = await client.frame()
    assert (warning["type"], warning["available"], warning["limit"]) == ("usage_threshold", 4, 20)


async def test_a_changed_threshold_applies_to_the_next_message(document):
    async with listener() as client:
        await answers(client, document, 0)
        await caching.listen().subscribed()

        await change(preferences.change, document.owner_id, {"usage_threshold": 50})
        await async_wait_until(lambda: isinstance(credits.cached(document.owner_id, "standard"), NotLoaded))

        await answers(client, document, 1)
        assert (await client.frame())["threshold"] == 50


async def test_an_upgrade_applies_to_open_connections(document):
    large = await sync_to_async(Plan.objects.create)(slug="large", name="Large", standard_limit=1000)
    await limit(document, 0)
    async with listener() as client:
        assert await codes_of(client, document, 0) == ["usage_limit"]
        await caching.listen().subscribed()

        await change(balances.assign, document.owner_id, large)

        await becomes_queued(client, document, 0)


# --- Lost events -----------------------------------------------------------------------------------------


@pytest.fixture
async def unnoticed_upgrade(document):
    """A function: the client is refused, then its balance is raised, and the event is lost."""

    async def upgrade(client):
        assert await codes_of(client, document, 0) == ["usage_limit"]
        await caching.listen().subscribed()
        await caching.stop_listening()
        await limit(document, 1000)

    await limit(document, 0)
    return upgrade


async def test_a_lost_event_is_found_by_comparing_epochs(document, unnoticed_upgrade, settings):
    settings.IDENTITY_SECONDS = 0.1
    async with listener() as client:
        await unnoticed_upgrade(client)

        await becomes_queued(client, document, 0)


async def test_without_comparing_epochs_a_lost_event_leaves_the_account_refused(document, unnoticed_upgrade):
    async with listener() as client:
        await unnoticed_upgrade(client)

        assert [await codes_of(client, document, 0) for _ in range(5)] == [["usage_limit"]] * 5


async def test_a_new_subscription_to_the_bus_drops_stale_credit(document, unnoticed_upgrade):
    async with listener() as client:
        await unnoticed_upgrade(client)

        caching.listen()

        await becomes_queued(client, document, 0)


# --- Changes without an event ----------------------------------------------------------------------------


def change_row(document, characters):
    """Change the row directly: no epoch is raised, and no event published."""
    rows = Balance.objects.filter(user_id=document.owner_id, usage_type="standard")
    return sync_to_async(rows.update)(limit=characters)


@pytest.mark.parametrize(("seconds", "expected"), [(0, "usage_limit"), (NEVER, "queued")])
async def test_a_balance_is_read_again_after_the_lifetime_of_its_reading(
    document, settings, seconds, expected
):
    settings.CREDIT_SECONDS = seconds
    async with listener() as client:
        assert await codes_of(client, document, 0) == ["queued"]

        await change_row(document, 4)

        assert await codes_of(client, document, 1) == [expected]


@pytest.mark.parametrize(("seconds", "expected"), [(0, "queued"), (NEVER, "usage_limit")])
async def test_spent_credit_has_a_shorter_lifetime(document, settings, seconds, expected):
    settings.CREDIT_AT_ZERO_SECONDS = seconds
    await limit(document, 0)
    async with listener() as client:
        assert await codes_of(client, document, 0) == ["usage_limit"]

        await change_row(document, 1000)

        assert await codes_of(client, document, 0) == [expected]


@pytest.mark.parametrize(("seconds", "expected"), [(0, "queued"), (NEVER, "usage_limit")])
async def test_a_stale_balance_is_read_again_before_a_refusal(document, settings, seconds, expected):
    settings.CREDIT_AT_ZERO_SECONDS = seconds
    await limit(document, 7)
    async with listener() as client:
        assert await codes_of(client, document, 0) == ["queued"]

        await change_row(document, 1000)

        assert await codes_of(client, document, 1) == [expected]


# --- Billing is behind, or Redis has lost data -----------------------------------------------------------


async def finish_two(client, document, redis):
    """Two blocks are finished and not charged."""
    await answers(client, document, 0, 1)
    await work_off(redis)
    assert [(await client.frame())["status"] for _ in range(2)] == ["cached", "cached"]
    credits.forget()  # as at the end of a reading's lifetime


async def test_reserved_characters_are_not_spent_twice_while_billing_is_behind(document, redis):
    async with listener() as client:
        await finish_two(client, document, redis)

        assert await codes_of(client, document, 2, 3) == ["queued", "usage_limit"]


async def test_without_reserved_characters_they_would_be_spent_twice(document, redis):
    async with listener() as client:
        await finish_two(client, document, redis)
        await sync_to_async(redis.delete)(f"reserved:{document.owner_id}")

        assert await codes_of(client, document, 2, 3, 4) == ["queued"] * 3


async def test_charged_characters_are_no_longer_reserved_and_remain_spent(document, redis):
    async with listener() as client:
        await finish_two(client, document, redis)
        await sync_to_async(StreamConsumer(BillingHandler(), redis).run_once)(wait=False)
        assert not await sync_to_async(redis.exists)(f"reserved:{document.owner_id}")

        assert await codes_of(client, document, 2, 3) == ["queued", "usage_limit"]


@pytest.fixture
def user_with_jobs(document, redis):
    """A user with a queued job of 7 characters, an uncharged one of 5, and others that reserve nothing."""
    user_id = document.owner_id
    enqueue(redis, make_spec("unbilled"), user=user_id, billable=False)
    for text in ("charged", "speak"):
        enqueue(redis, make_spec(text), user=user_id)
    while job := claim(redis):
        finish(redis, job)
        if text_of(job) == "charged":
            StreamConsumer(BillingHandler(), redis).run_once(wait=False)
    enqueue(redis, make_spec("waiting"), user=user_id)
    return user_id


async def reserved(user_id):
    link = multiplexed.MultiplexedConnection(django_settings.REDIS_URL)
    credits.forget()
    credit = await credits.credit_of(link, user_id, "standard")
    await link.close()
    return credit.reserved


async def test_reserved_characters_are_recounted_from_jobs_and_stream_after_a_loss_of_data(
    user_with_jobs, redis
):
    assert await reserved(user_with_jobs) == 12
    await sync_to_async(redis.delete)(f"reserved:{user_with_jobs}", COUNTED)

    assert await reserved(user_with_jobs) == 12


async def test_without_recounting_lost_reservations_would_be_spent_twice(user_with_jobs, redis):
    await reserved(user_with_jobs)
    await sync_to_async(redis.delete)(f"reserved:{user_with_jobs}")

    assert await reserved(user_with_jobs) == 0


async def test_after_a_loss_of_all_data_only_repeated_requests_are_reserved(document, redis):
    async with listener() as client:
        await answers(client, document, 0, 1)
        await sync_to_async(redis.flushall)()
        await async_wait_until(
            sync_to_async(lambda: redis.hget(f"reserved:{document.owner_id}", "standard") == b"8")
        )

        assert await codes_of(client, document, 2, 3) == ["queued", "usage_limit"]
