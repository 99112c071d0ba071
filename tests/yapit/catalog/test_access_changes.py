"""Changes of an account's voices or preferences, by every means, take effect in all caches at once."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from config import caching
from config.database.offload import offload
from tests.waiting import async_wait_until
from tests.yapit.factories import make_user, make_voice
from tests.yapit.test_invalidation import edit
from tests.yapit.web.http_clients import with_key
from yapit.accounts import keys, preferences, roles
from yapit.catalog import resolution
from yapit.errors import UnknownVoice
from yapit.models import Profile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def listening(redis):
    caching.flush_all()
    await caching.listen().subscribed()


@pytest.fixture
def operator():
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


async def may_use(user, slug):
    try:
        await resolution.aresolve(None, slug, user.pk)
    except UnknownVoice:
        return False
    return True


def run_action(operator, table, action, rows, **fields):
    """Run an action of the admin's list."""
    sent = {"action": action, "_selected_action": [row.pk for row in rows], **fields}
    answer = operator.post(f"/admin/{table}/", sent)
    assert answer.status_code == 302, answer.content


def shared_voice(user):
    voice = make_voice("shared", owner=make_user(), approved=False)
    voice.testers.add(user)
    return voice


# --- Actions of operators: each sets up the state, yields, then acts --------------------------------------


def add_tester(operator, user):
    shared_voice(user)
    yield
    run_action(operator, "auth/user", "add_testers", [user])


def remove_tester(operator, user):
    Profile.objects.create(user=user, is_tester=True)
    shared_voice(user)
    yield
    run_action(operator, "auth/user", "remove_testers", [user])


def grant_voice(operator, user):
    Profile.objects.create(user=user, is_tester=True)
    voice = make_voice("shared", owner=make_user(), approved=False)
    yield
    run_action(operator, "yapit/voice", "grant", [voice], accounts=f"{user.username}, ")


def withdraw_voice(operator, user):
    Profile.objects.create(user=user, is_tester=True)
    voice = shared_voice(user)
    yield
    run_action(operator, "yapit/voice", "withdraw", [voice], accounts=user.username)


def approve(operator, user):
    voice = make_voice("shared", approved=False)
    yield
    run_action(operator, "yapit/voice", "approve", [voice])


ACTIONS = [
    (add_tester, True),
    (remove_tester, False),
    (grant_voice, True),
    (withdraw_voice, False),
    (approve, True),
]


@pytest.mark.parametrize(("perform", "after"), ACTIONS)
async def test_changes_by_an_operator_take_effect_at_once(listening, operator, perform, after):
    user = await offload(make_user)
    steps = perform(operator, user)
    await offload(next, steps)
    assert await may_use(user, "shared") is not after

    await offload(next, steps, None)

    async def has_changed():
        return await may_use(user, "shared") is after

    await async_wait_until(has_changed)


@pytest.mark.parametrize(("perform", "after"), ACTIONS)
async def test_without_the_event_bus_nothing_changes_at_once(operator, perform, after):
    """The control of the test above."""
    caching.flush_all()
    user = await offload(make_user)
    steps = perform(operator, user)
    await offload(next, steps)
    assert await may_use(user, "shared") is not after

    await offload(next, steps, None)

    assert await may_use(user, "shared") is not after


async def test_new_preferences_apply_at_once_here_and_in_other_processes(listening):
    made = await offload(lambda: keys.create_key(make_user(), "laptop"))
    user_id = made.key.user_id
    assert (await preferences.aof(user_id)).usage_threshold == 80
    events = []
    unsubscribe = caching.subscribe(f"preferences:{user_id}", events.append)

    await with_key(made.token).send("PATCH", "/v1/me/preferences", {"usage_threshold": 50})

    assert (await preferences.aof(user_id)).usage_threshold == 50
    await async_wait_until(lambda: events == [f"preferences:{user_id}"])
    unsubscribe()


async def test_the_form_of_the_account_ends_the_role_of_a_reviewer(listening, operator):
    user = await offload(make_user, reviewer=True)
    await offload(lambda: make_voice("waiting", owner=make_user(), approved=False))
    assert await may_use(user, "waiting")

    await offload(lambda: edit(operator, "auth/user", user.pk, **{"profile-0-is_reviewer": None}))

    async def has_lost_the_role():
        return not (await roles.aof(user.pk)).is_reviewer and not await may_use(user, "waiting")

    await async_wait_until(has_lost_the_role)


# --- The page that asks for accounts --------------------------------------------------------------------


def test_sharing_asks_for_known_accounts(operator):
    voice = make_voice("shared", owner=make_user())
    for sent in ({}, {"accounts": "nobody"}, {"accounts": " , "}):
        page = operator.post(
            "/admin/yapit/voice/", {"action": "grant", "_selected_action": [voice.pk], **sent}
        )

        assert page.status_code == 200
        assert b'name="accounts"' in page.content
    assert voice.testers.count() == 0


def test_sharing_is_repeatable(operator):
    voice, user = make_voice("shared"), make_user()
    for _ in range(2):
        run_action(operator, "yapit/voice", "grant", [voice], accounts=user.username)

    assert list(voice.testers.all()) == [user]


def test_the_role_of_a_reviewer_survives_becoming_a_tester(operator):
    user = make_user(reviewer=True)

    run_action(operator, "auth/user", "add_testers", [user])

    profile = Profile.objects.get(user=user)
    assert (profile.is_tester, profile.is_reviewer) == (True, True)
