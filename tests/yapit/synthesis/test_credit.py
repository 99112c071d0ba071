"""What an account may still ask for: read once for many messages, and anew at once when it changes."""

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings

from billing.models import Plan, Subscription
from billing.plans import balances
from billing.usage.consumer import BillingHandler
from config import caching
from config.caching.figures import figures
from config.redis import multiplexed
from config.streams import StreamConsumer
from tests.waiting import async_wait_until
from tests.yapit.factories import make_document, make_model, make_user, make_voice
from tests.yapit.jobs.job_steps import claim, enqueue, finish, make_spec
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
    settings.IDENTITY_SECONDS = NEVER  # epochs are compared as often
    for module in (resolution, credits, identity, preferences):
        module.forget()
    make_voice("sine", model=make_model("tone"))
    user = make_user("local")
    Subscription.objects.create(user=user, standard_limit=12)
    return make_document(user, *(f"No {number}" for number in range(10)))


@sync_to_async
def change(what, *args, **options):
    what(*args, **options)


def limit(document, characters):
    return change(balances.set_limits, document.owner_id, standard=characters, premium=0)


async def answers(one, document, *indices):
    """What is said of each of these blocks, and the warnings that come with it."""
    await one.ask(document, *indices)
    said, warnings = {}, []
    while len(said) < len(indices):
        frame = await one.frame()
        if frame["type"] == "status":
            said[frame["block_idx"]] = frame["code"] or frame["status"]
        else:
            warnings.append((frame["type"], frame["available"]))
    return [said[index] for index in indices], warnings


async def said(one, document, *indices):
    return (await answers(one, document, *indices))[0]


async def becomes_audible(one, document, index):
    async def is_queued():
        return await said(one, document, index) == ["queued"]

    await async_wait_until(is_queued)


def due_in(redis, document):
    return int(redis.hget(f"reserved:{document.owner_id}", "standard") or 0)


def is_known(document):
    return not isinstance(credits.cached(document.owner_id, "standard"), NotLoaded)


def readings():
    return next(cache.rebuilds for cache in figures() if cache.name == "credits")


# --- One reading -----------------------------------------------------------------------------------------


async def test_a_balance_is_read_once_for_all_messages_of_all_sockets(document):
    before, other = readings(), Listener()
    async with listener() as one:
        await other.connect()
        for index in range(3):
            assert await said(one if index % 2 else other, document, index) == ["queued"]
        await other.close()

    assert readings() == before + 1


async def test_several_sockets_of_an_account_spend_no_more_than_it_has(document, redis):
    other = Listener()
    async with listener() as one:
        await other.connect()
        await one.ask(document, 0, 1, 2, 3)
        await other.ask(document, 4, 5, 6, 7)
        for each in (one, other):
            while (await each.frame()).get("block_idx") not in (3, 7):
                pass
        await other.close()

        assert await sync_to_async(due_in)(redis, document) == 12


async def test_unlimited_and_nothing_left_and_not_known_are_three_things(document):
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


# --- Near the end of it ----------------------------------------------------------------------------------


async def test_a_warning_comes_once_and_again_when_the_account_had_recovered(document):
    async with listener() as one:
        assert await answers(one, document, 0, 1) == (["queued", "queued"], [])
        assert await answers(one, document, 2) == (["queued"], [])
        assert (await one.frame())["type"] == "usage_threshold"
        assert await answers(one, document, 3) == (["usage_limit"], [])
        await caching.listen().subscribed()
        await limit(document, 1000)
        await becomes_audible(one, document, 4)

        await limit(document, 20)

        warning = await one.frame()
    assert (warning["type"], warning["available"], warning["limit"]) == ("usage_threshold", 4, 20)


async def test_the_threshold_that_an_account_chooses_holds_from_its_next_message_on(document):
    async with listener() as one:
        await answers(one, document, 0)
        await caching.listen().subscribed()

        await change(preferences.change, document.owner_id, {"usage_threshold": 50})
        await async_wait_until(lambda: isinstance(credits.cached(document.owner_id, "standard"), NotLoaded))

        await answers(one, document, 1)
        assert (await one.frame())["threshold"] == 50


async def test_after_an_upgrade_it_goes_on_without_a_new_connection(document):
    large = await sync_to_async(Plan.objects.create)(slug="large", name="Large", standard_limit=1000)
    await limit(document, 0)
    async with listener() as one:
        assert await said(one, document, 0) == ["usage_limit"]
        await caching.listen().subscribed()

        await change(balances.assign, document.owner_id, large)

        await becomes_audible(one, document, 0)


# --- A bell that nobody heard ----------------------------------------------------------------------------


@pytest.fixture
async def unheard_upgrade(document):
    """Call it with a socket: it is refused, and what changes that is not heard."""

    async def upgrade(one):
        assert await said(one, document, 0) == ["usage_limit"]
        await caching.listen().subscribed()
        await caching.stop_listening()
        await limit(document, 1000)

    await limit(document, 0)
    return upgrade


async def test_a_missed_bell_is_made_up_for_by_comparing_epochs(document, unheard_upgrade, settings):
    settings.IDENTITY_SECONDS = 0.1
    async with listener() as one:
        await unheard_upgrade(one)

        await becomes_audible(one, document, 0)


async def test_without_comparing_epochs_a_missed_bell_leaves_the_account_refused(document, unheard_upgrade):
    async with listener() as one:
        await unheard_upgrade(one)

        assert [await said(one, document, 0) for _ in range(5)] == [["usage_limit"]] * 5


async def test_a_new_subscription_to_the_bus_makes_up_for_what_was_missed(document, unheard_upgrade):
    async with listener() as one:
        await unheard_upgrade(one)

        caching.listen()

        await becomes_audible(one, document, 0)


# --- A change that nobody is told of ----------------------------------------------------------------------


def slip_in(document, characters):
    """As somebody changes the row by hand: no epoch is raised, and no bell rings."""
    rows = Subscription.objects.filter(user=document.owner_id)
    return sync_to_async(rows.update)(standard_limit=characters)


@pytest.mark.parametrize(("seconds", "found"), [(0, "usage_limit"), (NEVER, "queued")])
async def test_a_balance_is_read_again_when_its_reading_is_too_old(document, settings, seconds, found):
    settings.CREDIT_SECONDS = seconds
    async with listener() as one:
        assert await said(one, document, 0) == ["queued"]

        await slip_in(document, 4)

        assert await said(one, document, 1) == [found]


@pytest.mark.parametrize(("seconds", "found"), [(0, "queued"), (NEVER, "usage_limit")])
async def test_where_nothing_is_left_it_is_read_again_sooner(document, settings, seconds, found):
    settings.CREDIT_AT_ZERO_SECONDS = seconds
    await limit(document, 0)
    async with listener() as one:
        assert await said(one, document, 0) == ["usage_limit"]

        await slip_in(document, 1000)

        assert await said(one, document, 0) == [found]


@pytest.mark.parametrize(("seconds", "found"), [(0, "queued"), (NEVER, "usage_limit")])
async def test_nobody_is_refused_by_a_reading_that_may_be_too_old(document, settings, seconds, found):
    settings.CREDIT_AT_ZERO_SECONDS = seconds
    await limit(document, 7)
    async with listener() as one:
        assert await said(one, document, 0) == ["queued"]

        await slip_in(document, 1000)

        assert await said(one, document, 1) == [found]


# --- Billing is behind, or Redis has forgotten ------------------------------------------------------------


async def speak_two(one, document, redis):
    """And nobody charges for it."""
    await answers(one, document, 0, 1)
    await work_off(redis)
    assert [(await one.frame())["status"] for _ in range(2)] == ["cached", "cached"]
    credits.forget()  # as when a reading is too old


async def test_with_billing_behind_nothing_is_given_out_twice(document, redis):
    async with listener() as one:
        await speak_two(one, document, redis)

        assert await said(one, document, 2, 3) == ["queued", "usage_limit"]


async def test_without_what_is_due_it_would_be_given_out_twice(document, redis):
    async with listener() as one:
        await speak_two(one, document, redis)
        await sync_to_async(redis.delete)(f"reserved:{document.owner_id}")

        assert await said(one, document, 2, 3, 4) == ["queued"] * 3


async def test_what_is_charged_is_not_due_any_more_and_not_given_back(document, redis):
    async with listener() as one:
        await speak_two(one, document, redis)
        await sync_to_async(StreamConsumer(BillingHandler(), redis).run_once)(wait=False)
        assert not await sync_to_async(redis.exists)(f"reserved:{document.owner_id}")

        assert await said(one, document, 2, 3) == ["queued", "usage_limit"]


@pytest.fixture
def user_with_uses(document, redis):
    """One waits for a worker and one for its charge, of 7 and 5 characters. The rest is settled."""
    user_id = document.owner_id
    enqueue(redis, make_spec("unbilled"), user=user_id, billable=False)
    for text in ("charged", "speak"):
        enqueue(redis, make_spec(text), user=user_id)
    while job := claim(redis):
        finish(redis, job)
        if job.text == "charged":
            StreamConsumer(BillingHandler(), redis).run_once(wait=False)
    enqueue(redis, make_spec("waiting"), user=user_id)
    return user_id


async def due(user_id):
    link = multiplexed.MultiplexedConnection(django_settings.REDIS_URL)
    credits.forget()
    credit = await credits.credit_of(link, user_id, "standard")
    await link.close()
    return credit.reserved


async def test_what_is_due_is_counted_again_from_queue_and_stream_when_redis_lost_it(user_with_uses, redis):
    assert await due(user_with_uses) == 12
    await sync_to_async(redis.delete)(f"reserved:{user_with_uses}", COUNTED)

    assert await due(user_with_uses) == 12


async def test_without_counting_again_what_redis_lost_would_be_given_out_twice(user_with_uses, redis):
    await due(user_with_uses)
    await sync_to_async(redis.delete)(f"reserved:{user_with_uses}")

    assert await due(user_with_uses) == 0


async def test_an_emptied_redis_has_nothing_due_but_what_is_asked_again(document, redis):
    async with listener() as one:
        await answers(one, document, 0, 1)
        await sync_to_async(redis.flushall)()
        await async_wait_until(
            sync_to_async(lambda: redis.hget(f"reserved:{document.owner_id}", "standard") == b"8")
        )

        assert await said(one, document, 2, 3) == ["queued", "usage_limit"]
