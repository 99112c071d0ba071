"""Every door through which an account's voices or preferences change: what is remembered goes at once."""

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


def act(operator, table, action, rows, **fields):
    sent = {"action": action, "_selected_action": [row.pk for row in rows], **fields}
    answer = operator.post(f"/admin/{table}/", sent)
    assert answer.status_code == 302, answer.content


def shared_voice(user):
    voice = make_voice("shared", owner=make_user(), approved=False)
    voice.testers.add(user)
    return voice


# --- Doors of operators: what is true before, the door, what is true after -------------------------------


def add_tester(operator, user):
    shared_voice(user)
    yield
    act(operator, "auth/user", "add_testers", [user])


def remove_tester(operator, user):
    Profile.objects.create(user=user, is_tester=True)
    shared_voice(user)
    yield
    act(operator, "auth/user", "remove_testers", [user])


def grant_voice(operator, user):
    Profile.objects.create(user=user, is_tester=True)
    voice = make_voice("shared", owner=make_user(), approved=False)
    yield
    act(operator, "yapit/voice", "grant", [voice], accounts=f"{user.username}, ")


def withdraw_voice(operator, user):
    Profile.objects.create(user=user, is_tester=True)
    voice = shared_voice(user)
    yield
    act(operator, "yapit/voice", "withdraw", [voice], accounts=user.username)


def approve(operator, user):
    voice = make_voice("shared", approved=False)
    yield
    act(operator, "yapit/voice", "approve", [voice])


DOORS = [
    (add_tester, True),
    (remove_tester, False),
    (grant_voice, True),
    (withdraw_voice, False),
    (approve, True),
]


@pytest.mark.parametrize(("door", "after"), DOORS)
async def test_what_an_operator_changes_takes_effect_at_once(listening, operator, door, after):
    user = await offload(make_user)
    steps = door(operator, user)
    await offload(next, steps)
    assert await may_use(user, "shared") is not after

    await offload(next, steps, None)

    async def has_changed():
        return await may_use(user, "shared") is after

    await async_wait_until(has_changed)


@pytest.mark.parametrize(("door", "after"), DOORS)
async def test_control_who_does_not_listen_goes_on_as_before(operator, door, after):
    caching.flush_all()
    user = await offload(make_user)
    steps = door(operator, user)
    await offload(next, steps)
    assert await may_use(user, "shared") is not after

    await offload(next, steps, None)

    assert await may_use(user, "shared") is not after


async def test_preferences_are_new_at_once_for_who_changed_them_and_for_other_processes(listening):
    made = await offload(lambda: keys.create_key(make_user(), "laptop"))
    user_id = made.key.user_id
    assert (await preferences.aof(user_id)).usage_threshold == 80
    heard = []
    leave = caching.subscribe(f"preferences:{user_id}", heard.append)

    await with_key(made.token).send("PATCH", "/v1/me/preferences", {"usage_threshold": 50})

    assert (await preferences.aof(user_id)).usage_threshold == 50
    await async_wait_until(lambda: heard == [f"preferences:{user_id}"])
    leave()


async def test_a_reviewer_whose_role_ends_in_the_form_of_the_account_is_none(listening, operator):
    user = await offload(make_user, reviewer=True)
    await offload(lambda: make_voice("waiting", owner=make_user(), approved=False))
    assert await may_use(user, "waiting")

    await offload(lambda: edit(operator, "auth/user", user.pk, **{"profile-0-is_reviewer": None}))

    async def is_none():
        return not (await roles.aof(user.pk)).is_reviewer and not await may_use(user, "waiting")

    await async_wait_until(is_none)


# --- The page that asks with whom -----------------------------------------------------------------------


def test_an_operator_is_asked_with_whom_to_share(operator):
    voice = make_voice("shared", owner=make_user())
    for sent in ({}, {"accounts": "nobody"}, {"accounts": " , "}):
        page = operator.post(
            "/admin/yapit/voice/", {"action": "grant", "_selected_action": [voice.pk], **sent}
        )

        assert page.status_code == 200
        assert b'name="accounts"' in page.content
    assert voice.testers.count() == 0


def test_sharing_twice_is_sharing_once(operator):
    voice, user = make_voice("shared"), make_user()
    for _ in range(2):
        act(operator, "yapit/voice", "grant", [voice], accounts=user.username)

    assert list(voice.testers.all()) == [user]


def test_the_role_of_a_reviewer_survives_becoming_a_tester(operator):
    user = make_user(reviewer=True)

    act(operator, "auth/user", "add_testers", [user])

    profile = Profile.objects.get(user=user)
    assert (profile.is_tester, profile.is_reviewer) == (True, True)
