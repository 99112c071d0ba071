"""/v1/documents over HTTP, as the account of single-user mode except where a key is given."""

import json

import pytest

from config.database.offload import offload
from tests.yapit.factories import make_document, make_user
from tests.yapit.web.http_clients import Client, own_page, with_key
from yapit.accounts import identity, keys
from yapit.models import Document

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _empty_caches():
    identity.forget()


@pytest.fixture
async def local():
    return await offload(make_user, "local")


@pytest.fixture
def client(local):
    return own_page()


async def post(client, body):
    return await client.send("POST", "/v1/documents/text", body)


async def patch(client, path, body):
    return await client.send("PATCH", path, body)


def error_of(response, status, code, param=None):
    error = response.json()["error"]
    assert response.status_code == status
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    return error


async def test_a_posted_text_becomes_a_document(client):
    answer = await post(client, {"content": "# Title\n\nHello there."})

    document = answer.json()
    assert answer.status_code == 201
    assert document["title"] == "Title"
    assert (document["object"], document["block_count"], document["characters"]) == ("document", 2, 17)
    assert document["is_owner"] is True
    assert document["is_public"] is False
    assert document["position"] == {"block_idx": 0, "played_at": None}
    assert document["est_duration_ms"] > 0
    assert document["created"].endswith("Z")


async def test_a_document_is_created_listed_changed_and_deleted(client):
    document = (await post(client, {"content": "One.\n\nTwo.", "title": "Mine"})).json()
    path = f"/v1/documents/{document['id']}"

    assert (await client.get(path)).json() == document
    assert (await client.get("/v1/documents")).json()["data"] == [document]
    blocks = (await client.get(f"{path}/blocks")).json()
    assert blocks["total"] == 2
    assert blocks["data"][1] == {"idx": 1, "text": "Two.", "est_duration_ms": 286, "pause_ms": 500}
    sections = (await client.get(f"{path}/sections?limit=1")).json()
    assert (sections["total"], len(sections["data"])) == (2, 1)
    assert (await patch(client, path, {"title": "Ours", "is_public": True})).json()["title"] == "Ours"
    assert (await patch(client, f"{path}/position", {"block_idx": 1})).json() == {"block_idx": 1}
    assert (await client.get(path)).json()["position"]["block_idx"] == 1
    assert (await client.delete(path)).status_code == 204
    error_of(await client.get(path), 404, "document_not_found")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "content"),
        ({"content": ""}, "content"),
        ({"content": None}, "content"),
        ({"content": 5}, "content"),
        ({"content": "x" * 500_001}, "content"),
        ({"content": "x", "title": "x" * 501}, "title"),
        ({"content": "x", "markdown": "yes"}, "markdown"),
        ([], "content"),
        ("text", "content"),
    ],
)
async def test_an_invalid_field_is_named_in_the_error(client, body, param):
    error_of(await post(client, json.dumps(body)), 400, "invalid_request", param)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b'{"content": "\xff"}', b"\xff\xfe\x00", b'{"content": NaN}', b"[" * 100_000, b"1" * 5000],
)
async def test_invalid_json_is_refused(client, raw):
    answer = await post(client, raw)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"


async def test_a_lone_surrogate_is_refused_and_nul_is_removed(client):
    error_of(await post(client, b'{"content": "Half \\ud83d."}'), 400, "invalid_request", "content")

    document = (await post(client, b'{"content": "No \\u0000nul.", "title": "A\\u0000"}')).json()

    blocks = await client.get(f"/v1/documents/{document['id']}/blocks")
    assert (document["title"], blocks.json()["data"][0]["text"]) == ("A", "No nul.")


async def test_a_text_with_nothing_to_speak_is_refused(client):
    error_of(await post(client, {"content": "```\ncode\n```"}), 422, "nothing_to_speak", "content")


async def test_a_body_that_is_too_large_is_refused(client, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    error_of(await post(client, {"content": "x" * 2000}), 413, "request_too_large")


async def test_the_longest_text_fits_with_escapes(client, settings):
    body = json.dumps({"content": "\N{GRINNING FACE}" * 500_000})

    assert len(body) < settings.DATA_UPLOAD_MAX_MEMORY_SIZE


async def test_a_foreign_origin_changes_nothing(local):
    answer = await post(Client(), {"content": "Hello."})

    error_of(answer, 403, "origin_refused")
    assert await offload(Document.objects.count) == 0


async def test_a_private_document_of_another_account_is_not_found(client):
    document = await offload(make_document)
    path = f"/v1/documents/{document.pk}"

    for answer in (
        await client.get(path),
        await client.get(f"{path}/blocks"),
        await client.get(f"{path}/sections"),
        await patch(client, path, {"title": "Mine"}),
        await patch(client, f"{path}/position", {"block_idx": 0}),
        await client.delete(path),
    ):
        error_of(answer, 404, "document_not_found")


async def test_a_shared_document_is_read_with_the_key_of_another_account():
    document = await offload(make_document, is_public=True)
    made = await offload(lambda: keys.create_key(make_user(), "x"))
    client = with_key(made.token)

    seen = (await client.get(f"/v1/documents/{document.pk}")).json()

    assert seen["is_owner"] is False
    error_of(await patch(client, f"/v1/documents/{document.pk}", {"title": "x"}), 404, "document_not_found")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("offset=-1", "offset"),
        ("offset=1e9", "offset"),
        (f"offset={2**31}", "offset"),
        ("limit=%00", "limit"),
    ],
)
async def test_page_parameters_are_validated(client, query, param):
    error_of(await client.get(f"/v1/documents?{query}"), 400, "invalid_request", param)


async def test_a_page_past_the_end_is_empty(client, local):
    document = await offload(make_document, local)

    blocks = (await client.get(f"/v1/documents/{document.pk}/blocks?offset={2**31 - 1}")).json()

    assert (blocks["data"], blocks["total"]) == ([], 1)


@pytest.mark.parametrize("change", [{"title": ""}, {"title": " \n"}, {"title": "x" * 501}, {"title": 1}])
async def test_an_empty_or_invalid_title_is_refused(client, change):
    document = (await post(client, {"content": "Hello."})).json()

    error_of(await patch(client, f"/v1/documents/{document['id']}", change), 400, "invalid_request", "title")


@pytest.mark.parametrize("index", [-1, 1, 2**31, 1.5, "0", None])
async def test_a_position_outside_of_the_document_is_refused(client, index):
    document = (await post(client, {"content": "Hello."})).json()

    answer = await patch(client, f"/v1/documents/{document['id']}/position", {"block_idx": index})

    error_of(answer, 400, "invalid_request", "block_idx")


@pytest.mark.parametrize("name", ["nope", "00000000-0000-4000-8000-00000000000", "..%2f..%2fx", "%00"])
async def test_an_invalid_id_is_not_found(client, name):
    error_of(await client.get(f"/v1/documents/{name}"), 404, "not_found")
