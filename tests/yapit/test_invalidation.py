"""Invalidation: changes by the admin, services and seeding publish events and take effect at once."""

import asyncio
import json
from itertools import chain

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from prometheus_client import REGISTRY

from config import caching
from config.caching.events import CHANNEL
from config.database.offload import offload
from tests.waiting import PATIENCE, async_wait_until
from tests.yapit.accounts.test_identity import bearer, http
from tests.yapit.factories import make_model, make_user, make_voice
from yapit.accounts import authentication, identity, keys
from yapit.catalog import resolution
from yapit.errors import NotAuthenticated, UnknownVoice
from yapit.models import TTSModel

pytestmark = pytest.mark.django_db(transaction=True)

SOON = 15  # seconds; far less than the lifetime of a cached entry


@pytest.fixture
async def listening(redis):
    """Subscribe this process to the events, as a web process does."""
    identity.forget()
    resolution.forget()
    await caching.listen().subscribed()


@pytest.fixture
def published(redis):
    """A function that returns the events published since the test began."""
    with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(CHANNEL)
        pubsub.get_message(timeout=PATIENCE)

        def read():
            redis.publish(CHANNEL, '["last event"]')
            messages = iter(lambda: json.loads(pubsub.get_message(timeout=PATIENCE)["data"]), ["last event"])
            return [event for events in messages for event in events]

        yield read


@pytest.fixture
def client():
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def cached_identities():
    return len(caching.caches()["identities"])


async def is_refused(token):
    try:
        await identity.identify_scope(http(**bearer(token)))
    except NotAuthenticated:
        return True
    return False


# --- Effects --------------------------------------------------------------------------------------------


async def test_a_revoked_key_is_refused_at_once(listening):
    made = await offload(lambda: keys.create_key(make_user(), "laptop"))
    other = await offload(lambda: keys.create_key(make_user(), "phone"))
    assert not await is_refused(made.token)
    assert not await is_refused(other.token)
    before = cached_identities()

    await offload(keys.revoke, made.key)

    await async_wait_until(lambda: is_refused(made.token), timeout=SOON)
    assert (before, cached_identities()) == (2, 1)


async def test_without_the_event_a_revoked_key_would_stay_cached():
    """The control of the test above."""
    identity.forget()
    made = await offload(lambda: keys.create_key(make_user(), "laptop"))
    assert not await is_refused(made.token)

    await offload(keys.revoke, made.key)

    assert not await is_refused(made.token)


async def test_an_account_that_an_operator_deactivates_is_refused_at_once(listening, client):
    user = await offload(make_user)
    made = await offload(keys.create_key, user, "laptop")
    assert not await is_refused(made.token)

    await offload(edit, client, "auth/user", user.pk, is_active=None)

    await async_wait_until(lambda: is_refused(made.token), timeout=SOON)


async def test_a_voice_that_an_operator_unapproves_is_unknown_at_once(listening, client):
    voice, user = await offload(make_voice, "aria"), await offload(make_user)
    assert (await resolution.aresolve(None, "aria", user.pk)).voice_slug == "aria"

    await offload(edit, client, "yapit/voice", voice.pk, approved=None)

    async def is_unknown():
        try:
            await resolution.aresolve(None, "aria", user.pk)
        except UnknownVoice:
            return True
        return False

    await async_wait_until(is_unknown, timeout=SOON)


# --- Concurrent look-ups --------------------------------------------------------------------------------


async def test_500_requests_with_one_key_query_it_once(monkeypatch):
    identity.forget()
    made = await offload(lambda: keys.create_key(make_user(), "laptop"))
    find_key, tokens = authentication.find_key, []
    monkeypatch.setattr(authentication, "find_key", lambda token: tokens.append(token) or find_key(token))

    refused = await asyncio.gather(*(is_refused(made.token) for _ in range(500)))

    assert (any(refused), len(tokens)) == (False, 1)


async def test_500_requests_with_one_invalid_key_query_it_once(monkeypatch):
    identity.forget()
    tokens = []
    monkeypatch.setattr(authentication, "find_key", tokens.append)

    refused = await asyncio.gather(*(is_refused("yk_a1b2c3d4e5f6_" + "0" * 48) for _ in range(500)))

    assert (all(refused), len(tokens), cached_identities()) == (True, 1, 0)


async def test_500_resolutions_of_one_voice_read_the_public_and_the_personal_voices_once():
    resolution.forget()
    await offload(make_voice, "aria")
    user, before = await offload(make_user), reads_of_voices()

    resolved = await asyncio.gather(*(resolution.aresolve(None, "aria", user.pk) for _ in range(500)))

    assert {spoken.voice_slug for spoken in resolved} == {"aria"}
    assert reads_of_voices() - before == 2


def reads_of_voices():
    return REGISTRY.get_sample_value("yapit_cache_rebuilds_total", {"cache": "voices"})


# --- Published events -----------------------------------------------------------------------------------


def edit(client, table, pk, **changed):
    """Submit the admin's form of a row with these fields changed; None unchecks a checkbox."""
    address = f"/admin/{table}/{pk}/change/"
    fields = dict(form_fields(client.get(address).context))
    sent = {
        name: value for name, value in (fields | changed).items() if value is not None and value is not False
    }
    answer = client.post(address, sent)
    assert answer.status_code == 302, answer.context["errors"]


def form_fields(context):
    formsets = [inline.formset for inline in context["inline_admin_formsets"]]
    managements = (formset.management_form for formset in formsets)
    for form in (context["adminform"].form, *managements, *chain(*formsets)):
        for bound in form:
            widget, value = bound.field.widget, bound.value()
            if hasattr(widget, "decompress"):
                parts = widget.decompress(value)
                yield from ((f"{bound.html_name}_{i}", part) for i, part in enumerate(parts))
            else:
                yield bound.html_name, None if value == [] else value


def test_an_operators_changes_of_models_and_voices_are_published(published, client):
    voice = make_voice("aria", parameters={})

    edit(client, "yapit/voice", voice.pk, name="Aria", parameters="{}")
    edit(client, "yapit/ttsmodel", voice.model_id, usage_multiplier_bp=20_000)
    client.post(f"/admin/yapit/voice/{voice.pk}/delete/", {"post": "yes"})

    assert published() == ["catalog:all"] * 3


def test_an_operators_changes_of_accounts_are_published(published, client):
    one, two, three = (make_user() for _ in range(3))

    edit(client, "auth/user", one.pk, first_name="Ann")
    password = {"password1": "correct horse 2", "password2": "correct horse 2", "usable_password": "true"}
    client.post(f"/admin/auth/user/{one.pk}/password/", password)
    client.post(f"/admin/auth/user/{one.pk}/delete/", {"post": "yes"})
    selected = {"action": "delete_selected", "_selected_action": [two.pk, three.pk], "post": "yes"}
    client.post("/admin/auth/user/", selected)

    accounts = [event for event in published() if event.startswith("account:")]
    assert accounts[:3] == [f"account:{one.pk}"] * 3
    assert set(User.objects.values_list("username", flat=True)) == {"operator"}


def test_changes_of_keys_are_published(published, client):
    key = keys.create_key(make_user(), "laptop").key

    edit(client, "yapit/apikey", key.pk, expires_at_0="2030-01-01", expires_at_1="00:00:00")
    client.post("/admin/yapit/apikey/", {"action": "revoke", "_selected_action": [key.pk]})

    assert published() == [f"key:{key.pk}"] * 2


def test_a_rolled_back_change_is_not_published(published):
    key = keys.create_key(make_user(), "laptop").key
    with transaction.atomic():
        keys.revoke(key)
        transaction.set_rollback(True)

    assert published() == []


def test_seeding_publishes_only_a_new_revision_of_an_engine(published):
    make_model("tone", revision="an older one")
    call_command("seed")
    call_command("seed")

    assert published() == ["catalog:all"]
    assert TTSModel.objects.get(slug="tone").revision != "an older one"
