"""Cached responses: entity tags, 304, Cache-Control, and invalidation by changes."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client as Pages
from django.utils import timezone

from config import caching
from config.database.offload import offload
from tests.waiting import async_wait_until
from tests.yapit.factories import make_document, make_model, make_user, make_voice
from tests.yapit.test_invalidation import edit
from tests.yapit.web.http_clients import Client, with_key
from yapit import documents
from yapit.accounts import keys
from yapit.api.v1.public_documents import pages

pytestmark = pytest.mark.django_db(transaction=True)

LISTS = ["/v1/models", "/v1/audio/models", "/v1/audio/voices", "/v1/audio/voices?legacy=true&language=en"]


@pytest.fixture(autouse=True)
def _log_in(settings):
    settings.MULTI_USER = True
    caching.flush_all()


@pytest.fixture
async def listening(redis):
    await caching.listen().subscribed()


async def account():
    return await offload(lambda: keys.create_key(make_user(), "laptop"))


async def known(client, path, tags):
    return await client.get(path, headers={"if-none-match": tags})


# --- Conditional requests ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
async def test_a_matching_entity_tag_gets_304(path):
    await offload(make_voice, "aria")
    full = await Client().get(path)
    again = await known(Client(), path, full["ETag"])

    assert (full.status_code, again.status_code, again.content) == (200, 304, b"")
    for header in ("ETag", "Cache-Control", "Vary"):
        assert again.get(header) == full.get(header)
    assert not again.has_header("Content-Type")


@pytest.mark.parametrize("pattern", ["{}", "W/{}", '"x", {}', '"x",W/{} , "y"', "*"])
async def test_entity_tags_match_in_every_form(pattern):
    tag = (await Client().get("/v1/models"))["ETag"]

    assert (await known(Client(), "/v1/models", pattern.format(tag))).status_code == 304


@pytest.mark.parametrize("tags", ['"x"', "", '"', 'W/"x", "y"', "x" * 3000])
async def test_other_entity_tags_get_the_body(tags):
    await offload(make_model, "bell")

    answer = await known(Client(), "/v1/models", tags)

    assert (answer.status_code, answer.json()["data"][0]["id"]) == (200, "bell")


@pytest.mark.parametrize("path", [*LISTS, "/v1/leaderboard/recent"])
async def test_bodies_do_not_depend_on_the_current_time(path, monkeypatch):
    await offload(make_voice, "aria")
    first, now = await Client().get(path), timezone.now
    caching.flush_all()
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(minutes=3))
    later = await Client().get(path)

    assert (later.content, later["ETag"]) == (first.content, first["ETag"])


async def test_public_lists_are_cacheable_by_shared_caches():
    for path in LISTS:
        assert (await Client().get(path))["Cache-Control"] == "public, max-age=15"
    assert (await Client().get("/v1/audio/voices"))["Vary"] == "Authorization, Cookie"


async def test_the_list_of_an_account_is_private():
    made = await account()
    answer = await with_key(made.token).get("/v1/audio/voices")

    assert answer["Cache-Control"] == "private, no-cache"
    assert answer["Vary"] == "Authorization, Cookie"
    again = await known(with_key(made.token), "/v1/audio/voices", answer["ETag"])
    assert (again.status_code, again["Cache-Control"]) == (304, "private, no-cache")


async def test_an_invalid_key_is_refused_despite_a_matching_entity_tag():
    tag = (await Client().get("/v1/models"))["ETag"]

    assert (await known(with_key("nope"), "/v1/models", tag)).status_code == 401


# --- Changes ----------------------------------------------------------------------------------------------


async def test_lists_are_rebuilt_only_after_a_change_in_the_admin(listening, django_assert_num_queries):
    voice = await offload(make_voice, "aria", name="Aria")
    operator = Pages()
    await offload(lambda: operator.force_login(User.objects.create_superuser("operator")))
    first = await Client().get("/v1/audio/voices")
    assert (await Client().get("/v1/audio/voices")).content == first.content

    await offload(lambda: edit(operator, "yapit/voice", voice.pk, name="Arietta", parameters="{}"))

    async def is_new():
        answer = await known(Client(), "/v1/audio/voices", first["ETag"])
        return answer.status_code == 200 and answer.json()["data"][0]["name"] == "Arietta"

    await async_wait_until(is_new)


# --- Public documents -------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["blocks", "sections"])
async def test_pages_of_a_public_document_are_built_once_for_all_accounts(part):
    owner, other = await account(), await account()
    document = await offload(
        lambda: documents.create_text(owner.key.user_id, "Hello there.\n\nAnd again.").document
    )
    await offload(documents.change, document.pk, owner.key.user_id, is_public=True)
    path = f"/v1/documents/{document.pk}/{part}"

    first = await with_key(owner.token).get(path)
    second = await with_key(other.token).get(path)

    assert first.content == second.content
    assert first["Cache-Control"] == "public, max-age=15"
    assert (await known(with_key(other.token), path, first["ETag"])).status_code == 304
    assert (await Client().get(path)).status_code == 401


async def test_pages_of_a_private_document_are_not_shared():
    owner, other = await account(), await account()
    document = await offload(lambda: make_document(owner.key.user))
    path = f"/v1/documents/{document.pk}/blocks"

    answer = await with_key(owner.token).get(path)

    assert (answer.status_code, answer["Cache-Control"]) == (200, "private, no-cache")
    assert (await with_key(other.token).get(path)).status_code == 404


@pytest.mark.parametrize("deleted", [False, True])
async def test_pages_are_dropped_when_a_document_is_unshared_or_deleted(listening, deleted):
    owner, other = await account(), await account()
    document = await offload(lambda: make_document(owner.key.user, is_public=True))
    path = f"/v1/documents/{document.pk}/blocks"
    assert (await with_key(other.token).get(path)).status_code == 200

    if deleted:
        await offload(documents.delete, document.pk, owner.key.user_id)
    else:
        await offload(documents.change, document.pk, owner.key.user_id, is_public=False)

    async def is_gone():
        return (await with_key(other.token).get(path)).status_code == 404

    await async_wait_until(is_gone)


async def test_pages_past_the_end_or_of_other_sizes_are_not_cached():
    owner = await account()
    document = await offload(lambda: make_document(owner.key.user, is_public=True))
    for query in ("offset=100", "offset=1", "limit=7", "offset=3&limit=50"):
        answer = await with_key(owner.token).get(f"/v1/documents/{document.pk}/blocks?{query}")
        assert answer.status_code == 200

    assert len(pages) == 0
