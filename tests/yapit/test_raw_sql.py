"""Raw SQL of the request path gives what the ORM gives."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from config.database.rows import fetch_rows
from tests.yapit.factories import make_document, make_model, make_user, make_voice
from yapit.accounts import authentication, keys, preferences, roles
from yapit.accounts.authentication import SELECT_VALID_KEY
from yapit.accounts.preferences import SELECT_PREFERENCES
from yapit.accounts.roles import SELECT_ROLES, Roles
from yapit.catalog import voices
from yapit.catalog.voices import SELECT_PERSONAL_IDS
from yapit.documents.service import SELECT_WITH_BLOCKS
from yapit.models import ApiKey, Document, Preferences, Profile, Voice

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def test_the_valid_keys_are_those_of_the_orm():
    user = make_user()
    now = timezone.now()
    changes = [
        {},
        {"expires_at": now - HOUR},
        {"expires_at": now + HOUR, "last_used": now},
        {"revoked_at": now},
    ]
    made = [keys.create_key(user, "laptop").key for _ in changes]
    for key, fields in zip(made, changes, strict=True):
        ApiKey.objects.filter(pk=key.pk).update(**fields)
    closed = keys.create_key(make_user(is_active=False), "laptop").key

    rows = [
        row
        for key in (*made, closed)
        for row in fetch_rows(SELECT_VALID_KEY, {"key_id": key.pk, "now": timezone.now()})
    ]

    columns = ("id", "user_id", "user__username", "expires_at", "last_used", "digest")
    assert rows == [ApiKey.objects.values_list(*columns).get(pk=made[place].pk) for place in (0, 2)]
    assert [authentication.ValidKey(*row).username for row in rows] == [user.username] * 2


@pytest.mark.parametrize("is_tester", [False, True])
@pytest.mark.parametrize("is_reviewer", [False, True])
def test_the_roles_are_those_of_the_profile(is_tester, is_reviewer):
    user = make_user()
    assert fetch_rows(SELECT_ROLES, {"user_id": user.pk}) == []

    Profile.objects.create(user=user, is_tester=is_tester, is_reviewer=is_reviewer)

    assert fetch_rows(SELECT_ROLES, {"user_id": user.pk}) == [(is_tester, is_reviewer)]
    roles.forget()
    assert roles.of(user.pk) == Roles(is_tester, is_reviewer)


def test_the_preferences_are_those_of_the_row():
    user = make_user()
    fields = {
        "pinned_voices": ["sine", "brass"],
        "default_voice": "sine",
        "default_speed": 1.5,
        "usage_threshold": None,
    }
    assert fetch_rows(SELECT_PREFERENCES, {"user_id": user.pk}) == []
    Preferences.objects.create(user=user, **fields)
    preferences.forget()

    chosen = preferences.of(user.pk)

    assert chosen == preferences.AccountPreferences(**fields | {"pinned_voices": ("sine", "brass")})


@pytest.mark.parametrize("is_tester", [False, True])
@pytest.mark.parametrize("is_reviewer", [False, True])
def test_the_personal_voices_are_those_that_others_may_not_use(is_tester, is_reviewer):
    user, model = make_user(tester=is_tester, reviewer=is_reviewer), make_model()
    for owner in (None, user, make_user()):
        for approved in (False, True):
            for fields in ({}, {"is_active": False}, {"model": make_model(is_active=False)}):
                make_voice(owner=owner, approved=approved, **{"model": model} | fields)
                shared = make_voice(owner=owner, approved=approved, **{"model": model} | fields)
                shared.testers.add(user, make_user())

    rows = fetch_rows(
        SELECT_PERSONAL_IDS, {"user_id": user.pk, "is_tester": is_tester, "is_reviewer": is_reviewer}
    )

    visible = set(voices.visible(user.pk, Roles(is_tester, is_reviewer)).values_list("pk", flat=True))
    of_all = set(Voice.objects.filter(owner=None, approved=True).values_list("pk", flat=True))
    assert {pk for (pk,) in rows} == visible - of_all
    assert len(rows) >= 2


def test_a_document_is_read_with_its_blocks_if_the_account_may_read_it():
    private, public = make_document(None, "One.", "Two.", "Three."), make_document(is_public=True)

    def rows(document_id, user_id, first=1, last=9):
        params = {"document_id": document_id, "user_id": user_id, "first": first, "last": last}
        return sorted(fetch_rows(SELECT_WITH_BLOCKS, params))

    head = Document.objects.values_list("owner_id", "block_count").get(pk=private.pk)
    blocks = list(private.blocks.filter(index__gte=1).values_list("index", "text", "pause_ms"))
    assert rows(private.pk, private.owner_id) == [(*head, *block) for block in blocks]
    assert rows(private.pk, private.owner_id, 3, 9) == [(*head, None, None, None)]
    assert rows(private.pk, public.owner_id) == rows(uuid.uuid4(), public.owner_id) == []
    assert rows(public.pk, private.owner_id, 0, 0) == [(public.owner_id, 1, 0, "Hello there.", 250)]
