"""Admin pages: lists, search, permissions, saving, and query plans on large tables."""

import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audiocache.sqlite import SqliteStore
from config.admin import EstimatedPaginator
from tests.audiocache.audio_blobs import sound
from tests.audiocache.files import copy_files
from tests.yapit.factories import make_document, make_model, make_user, make_variant, make_voice
from yapit.accounts import keys
from yapit.accounts.identity import identify_key
from yapit.admin import variants
from yapit.models import (
    ApiKey,
    Block,
    BlockVariant,
    Document,
    Playback,
    Preferences,
    Profile,
    TTSModel,
    Voice,
)

pytestmark = pytest.mark.django_db

MODELS = ["ttsmodel", "voice", "document", "block", "section", "playback", "blockvariant", "apikey"]


@pytest.fixture
def operator():
    return User.objects.create_superuser("operator", password="correct horse")


@pytest.fixture
def client(operator):
    cache.clear()
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Audio store of this test, also used by the admin."""
    store = SqliteStore(copy_files(tmp_path / "files") / "audio.sqlite3", 10**9)
    store.open_writer()
    monkeypatch.setattr(variants, "store_for", lambda alias: store)
    yield store
    store.close()


def text_of(client, path, **query):
    answer = client.get(f"/admin/{path}", query)
    assert answer.status_code == 200
    return answer.content.decode()


def fill():
    """Create one row of each model."""
    document = make_document(None, "One.", is_public=True)
    document.sections.create(position=0, kind="p", html="<p>One.</p>", first_block=0, block_count=1)
    Playback.objects.create(user=document.owner, document=document, block_idx=0, played_at=timezone.now())
    make_voice("aria")
    make_variant()
    keys.create_key(document.owner, "laptop")


@pytest.mark.parametrize("model", MODELS)
def test_every_table_can_be_listed_searched_and_viewed(client, model):
    fill()

    page = text_of(client, f"yapit/{model}/")
    (link,) = set(re.findall(rf"/admin/(yapit/{model}/[^/\"]+/change/)", page))
    assert text_of(client, link)
    for term in ("a" * 64, "aria", "nonsense'\"", str(Document.objects.get().pk)):
        text_of(client, f"yapit/{model}/", q=term)


# --- Variants ---------------------------------------------------------------------------------------------


def test_variants_show_the_location_of_their_audio(client, redis, store):
    hot, cold = sound("hot"), sound("cold")
    redis.set(f"audio:{hot.hash}", hot.blob)
    store.write_batch([cold.put], [])
    for place in (hot.hash, cold.hash, "f" * 64):
        make_variant(place)

    page = text_of(client, "yapit/blockvariant/")

    places = dict(re.findall(r"blockvariant/([0-9a-f]{64})/.*?field-audio\">(\w+)<", page, re.DOTALL))
    assert places == {hot.hash: "hot", cold.hash: "cold", "f" * 64: "nowhere"}


def test_locations_are_looked_up_once_for_each_page(client, store, monkeypatch):
    lookups = []
    monkeypatch.setattr(
        variants, "audio_locations", lambda hashes: lookups.append(hashes) or dict.fromkeys(hashes, "x")
    )
    for number in range(5):
        make_variant(f"{number:064x}")

    text_of(client, "yapit/blockvariant/")

    assert [len(hashes) for hashes in lookups] == [5]


def test_without_redis_locations_are_unknown(client, store, settings):
    make_variant()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert variants.audio_locations(["a" * 64]) == {"a" * 64: "unknown"}


def test_a_variant_has_a_player(client, store):
    variant = make_variant()

    page = text_of(client, f"yapit/blockvariant/{variant.pk}/change/")

    assert f'<audio controls preload="none" src="/v1/audio/{variant.pk}">' in page


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("a" * 64, {"a" * 64}),
        ("AAAAAA", {"a" * 64}),
        ("b" * 63, {"b" * 64}),
        ("tone", {"a" * 64, "b" * 64}),
        ("aria", {"b" * 64}),
        ("aaa", set()),
        ("on", set()),
    ],
)
def test_variants_are_found_by_hash_model_and_voice(client, term, expected):
    make_variant("a" * 64)
    make_variant("b" * 64, voice="aria")

    page = text_of(client, "yapit/blockvariant/", q=term)

    assert set(re.findall(r"blockvariant/([0-9a-f]{64})/", page)) == expected


def test_variants_are_read_only(client, store):
    variant = make_variant()

    assert client.post(f"/admin/yapit/blockvariant/{variant.pk}/change/", {"model": "x"}).status_code == 403
    assert client.post(f"/admin/yapit/blockvariant/{variant.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/yapit/blockvariant/add/").status_code == 403


# --- API keys ---------------------------------------------------------------------------------------------


def test_a_new_key_is_shown_once(client):
    user = make_user()

    answer = client.post("/admin/yapit/apikey/add/", {"name": "laptop", "user": user.pk})

    (token,) = re.findall(r"yk_[0-9a-z]+_[0-9a-f]+", answer.content.decode())
    assert identify_key(token).user_id == user.pk
    assert "no-store" in answer["Cache-Control"]
    assert token not in text_of(client, f"yapit/apikey/{ApiKey.objects.get().pk}/change/")
    assert token not in text_of(client, "yapit/apikey/")


def test_the_digest_is_never_shown(client):
    key = keys.create_key(make_user(), "laptop").key

    for path in ("yapit/apikey/", f"yapit/apikey/{key.pk}/change/"):
        assert key.digest not in text_of(client, path)


def test_an_action_revokes_keys(client):
    made = keys.create_key(make_user(), "laptop")

    client.post("/admin/yapit/apikey/", {"action": "revoke", "_selected_action": [made.key.pk]})

    assert identify_key(made.token) is None


def test_saving_a_key_does_not_overwrite_its_last_use(client):
    key = keys.create_key(make_user(), "laptop").key
    form = {"name": "tablet", "expires_at_0": "", "expires_at_1": ""}
    used = timezone.now()

    with CaptureQueriesContext(connection) as queries:
        ApiKey.objects.update(last_used=used)
        client.post(f"/admin/yapit/apikey/{key.pk}/change/", form)

    key.refresh_from_db()
    assert (key.name, key.last_used) == ("tablet", used)
    (update,) = [query["sql"] for query in queries[1:] if query["sql"].startswith('UPDATE "yapit_apikey"')]
    assert "last_used" not in update


# --- Other pages ------------------------------------------------------------------------------------------


def test_tables_written_by_processes_are_read_only(client):
    document = make_document()
    form = {"title": "New", "is_public": "on", "block_count": 99, "source": "x"}

    client.post(f"/admin/yapit/document/{document.pk}/change/", form)

    changed = Document.objects.get()
    assert (changed.title, changed.is_public, changed.block_count) == ("New", True, 1)
    assert changed.source == document.source
    assert changed.updated > document.updated


def test_the_price_of_a_model_is_editable_and_its_revision_is_not(client):
    model = make_model()
    form = {"name": "Ours", "usage_multiplier_bp": 20_000, "usage_type": "premium", "revision": "mine"}

    client.post(f"/admin/yapit/ttsmodel/{model.pk}/change/", form)

    changed = TTSModel.objects.get()
    assert (changed.usage_multiplier_bp, changed.is_active, changed.revision) == (20_000, False, "1")


def test_a_voice_is_created_approved_and_shared(client):
    model, tester = make_model(), make_user(tester=True)
    form = {
        "slug": "aria",
        "model": model.pk,
        "name": "Aria",
        "language": "en",
        "gender": "",
        "parameters": '{"pitch": 2}',
        "approved": "on",
        "is_active": "on",
        "testers": str(tester.pk),
    }

    client.post("/admin/yapit/voice/add/", form)

    voice = Voice.objects.get()
    assert (voice.parameters, voice.approved, list(voice.testers.all())) == ({"pitch": 2}, True, [tester])


def test_voice_parameters_that_are_not_an_object_show_an_error(client):
    form = {"slug": "aria", "model": make_model().pk, "name": "A", "language": "en", "parameters": "[1]"}

    answer = client.post("/admin/yapit/voice/add/", form)

    assert answer.status_code == 200
    assert not Voice.objects.exists()


def test_roles_are_edited_on_the_page_of_the_account(client):
    user = make_user()
    page = client.get(f"/admin/auth/user/{user.pk}/change/").context["adminform"].form.initial
    form = {
        "username": user.username,
        "date_joined_0": page["date_joined"].date(),
        "date_joined_1": "10:00:00",
        "profile-TOTAL_FORMS": 1,
        "profile-INITIAL_FORMS": 0,
        "profile-0-is_reviewer": "on",
        "profile-0-user": user.pk,
        "preferences-TOTAL_FORMS": 0,
        "preferences-INITIAL_FORMS": 0,
    }

    answer = client.post(f"/admin/auth/user/{user.pk}/change/", form)

    assert answer.status_code == 302, answer.context["errors"]
    assert Profile.objects.get().is_reviewer
    assert not Preferences.objects.exists()


def test_an_account_can_be_created(client):
    form = {
        "username": "new",
        "password1": "battery staple 9",
        "password2": "battery staple 9",
        "usable_password": "true",
    }

    assert client.post("/admin/auth/user/add/", form).status_code == 302
    assert User.objects.get(username="new").has_usable_password()


def test_the_document_list_does_not_load_sources(client):
    make_document(source="x" * 100_000)

    with CaptureQueriesContext(connection) as queries:
        text_of(client, "yapit/document/")

    assert not any('"source"' in query["sql"] for query in queries)


def test_the_admin_requires_staff():
    client = Client()
    client.force_login(make_user())

    assert client.get("/admin/yapit/blockvariant/").status_code == 302


# --- A million rows ---------------------------------------------------------------------------------------


def plans_of(run):
    """Query plans of all statements on variants that `run` executes."""
    with CaptureQueriesContext(connection) as queries:
        run()
    plans = []
    with connection.cursor() as cursor:
        for query in queries:
            if "yapit_blockvariant" in query["sql"]:
                cursor.execute(f"EXPLAIN {query['sql']}")
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
    return plans


@pytest.mark.slow
def test_no_page_scans_or_sorts_the_table_of_a_million_variants(client, store):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '300s'")
        cursor.execute(
            """INSERT INTO yapit_blockvariant (hash, model, voice, characters, duration_ms, created)
               SELECT encode(sha256(n::text::bytea), 'hex'), (ARRAY['hibari', 'tone', 'bell'])[1 + n % 3],
                      'voice' || n % 40, 100, 9000, now() - n * interval '1 second'
               FROM generate_series(1, 1000000) AS n"""
        )
        cursor.execute("ANALYZE yapit_blockvariant")
    some = BlockVariant.objects.order_by("hash")[500]
    make_model("hibari")
    make_voice("voice7")

    pages = [
        "",
        f"?q={some.hash}",
        f"?q={some.hash[:7]}",
        "?q=hibari",
        "?q=voice7",
        "?q=nothing",
        "?p=100",
        "?model=hibari",
        "?voice=voice7",
        "?model=hibari&voice=voice7",
        "?q=dead&model=hibari",
    ]
    for page in pages:
        for plan in plans_of(lambda page=page: client.get(f"/admin/yapit/blockvariant/{page}")):
            assert "Seq Scan" not in plan, (page, plan)
            assert not re.search(r"^\s*(->)?\s*Sort.*rows=\d{6,}", plan, re.MULTILINE), (page, plan)
    for plan in plans_of(lambda: client.get(f"/admin/yapit/blockvariant/{some.hash}/change/")):
        assert "Seq Scan" not in plan


def test_large_tables_are_estimated_and_filtered_rows_counted_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(EstimatedPaginator, "counted_rows", 4)
    document = make_document(None, *"abcdefgh")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE yapit_block")

    assert EstimatedPaginator(Block.objects.order_by("pk"), 10).count == 8
    assert EstimatedPaginator(Block.objects.filter(document=document).order_by("pk"), 10).count == 4
    monkeypatch.setattr("config.admin.SMALL_TABLE", 5)
    with CaptureQueriesContext(connection) as queries:
        assert EstimatedPaginator(Block.objects.order_by("pk"), 10).count == 8
    assert not any("COUNT" in query["sql"] for query in queries)


def test_growing_tables_use_the_estimated_paginator():
    growing = {Block, BlockVariant, Document, Playback}

    for model in growing:
        page = admin.site.get_model_admin(model)
        assert page.paginator is EstimatedPaginator
        assert page.show_full_result_count is False
        assert not [each for each in page.get_list_filter(RequestFactory().get("/")) if isinstance(each, str)]
