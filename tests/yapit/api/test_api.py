"""All operations under /v1: authentication, error format and OpenAPI description."""

import json
import re
from pathlib import Path

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as django_settings
from django.db import IntegrityError, OperationalError

from config import caching
from config.database.offload import offload
from tests.waiting import PATIENCE
from tests.yapit.factories import make_model, make_user, make_voice
from tests.yapit.web.http_clients import Client, own_page, with_key
from yapit import documents
from yapit.accounts import keys
from yapit.api import examples
from yapit.api.app import ROUTERS
from yapit.api.v1 import schemas, usage_schemas
from yapit.models import Voice

pytestmark = pytest.mark.django_db(transaction=True)

PUBLIC = {
    "/v1/leaderboard/recent",
    "/v1/models",
    "/v1/models/{model_id}",
    "/v1/audio/models",
    "/v1/audio/voices",
}
NOT_NINJA = {"/v1/audio/{hash}": 2}  # number of methods by path, of other ASGI applications
PROTOCOL = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()


def operations():
    return [
        (method.upper(), path)
        for prefix, router in ROUTERS
        for route, view in router.path_operations.items()
        for path in [re.sub(r"{\w+:", "{", f"/v1{prefix}{route}")]
        for operation in view.operations
        for method in operation.methods
    ]


OPERATIONS = operations()


def filled(path):
    return re.sub(r"{\w+}", "00000000-0000-0000-0000-000000000000", path)


@pytest.fixture(autouse=True)
def _empty_caches():
    caching.flush_all()


@pytest.fixture
async def local():
    return await offload(make_user, "local")


def error_of(answer):
    error = answer.json()["error"]
    assert answer["Content-Type"] == "application/json"
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["code"]


# --- Authentication ---------------------------------------------------------------------------------------


def test_the_list_of_operations_is_complete():
    assert len(OPERATIONS) >= 14
    assert {path for _, path in OPERATIONS} >= PUBLIC


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_every_operation_answers_an_invalid_key_with_401(local, method, path):
    for token in ("nope", "", "yk_a1b2c3d4e5f6_" + "0" * 48):
        answer = await with_key(token).send(method, filled(path), {} if method != "GET" else None)

        assert error_of(answer) == (401, "invalid_api_key")
        assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_in_multi_user_mode_only_public_operations_need_no_credentials(settings, method, path):
    settings.MULTI_USER = True

    answer = await own_page().send(method, filled(path), {} if method != "GET" else None)

    if path in PUBLIC:
        assert answer.status_code in (200, 404)
    else:
        assert error_of(answer) == (401, "missing_credentials")


@pytest.mark.parametrize(("method", "path"), [pair for pair in OPERATIONS if pair[0] != "GET"])
async def test_a_foreign_origin_is_refused(local, method, path):
    answer = await Client(origin="https://evil.example").send(method, filled(path), {})

    assert error_of(answer) == (403, "origin_refused")


async def test_a_session_is_accepted_from_a_page_of_this_site(settings):
    settings.MULTI_USER = True
    user = await offload(make_user)
    client = own_page()
    await offload(client.force_login, user)

    answer = await client.get("/v1/me")

    assert answer.json() == {"id": user.pk, "username": user.username, "via": "session"}


# --- Errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/nope", (404, "not_found")),
        ("GET", "/v1/", (404, "not_found")),
        ("GET", "/v1/models/nope", (404, "model_not_found")),
        ("POST", "/v1/models", (405, "method_not_allowed")),
        ("PUT", "/v1/documents", (405, "method_not_allowed")),
    ],
)
async def test_errors_of_django_are_json(local, method, path, expected):
    answer = await own_page().send(method, path, {} if method != "GET" else None)

    assert error_of(answer) == expected


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (RuntimeError("the secret"), (500, "server_error")),
        (IntegrityError("DETAIL: Failing row contains (the secret)"), (500, "server_error")),
        (OperationalError("the secret"), (503, "unavailable")),
    ],
)
async def test_an_internal_error_reveals_no_details(local, monkeypatch, caplog, raised, expected):
    def fail(*args):
        raise raised

    monkeypatch.setattr(documents, "page_of_own", fail)

    answer = await own_page().get("/v1/documents")

    assert error_of(answer) == expected
    assert "secret" not in answer.content.decode()
    assert not (isinstance(raised, IntegrityError | OperationalError) and "secret" in caplog.text)


async def test_errors_outside_of_the_api_stay_html(local):
    answer = await own_page().get("/nope")

    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


# --- Models and voices ------------------------------------------------------------------------------------


async def test_models_are_listed_in_the_openai_format(settings):
    settings.MULTI_USER = True
    await offload(make_model, "bell", usage_multiplier_bp=15_000)
    await offload(make_model, "broken", is_active=False)

    listed = (await Client().get("/v1/models")).json()

    assert listed["object"] == "list"
    (model,) = listed["data"]
    assert {name: model[name] for name in ("id", "object", "owned_by", "usage_multiplier")} == {
        "id": "bell",
        "object": "model",
        "owned_by": "yapit",
        "usage_multiplier": 1.5,
    }
    assert isinstance(model["created"], int)
    assert (await Client().get("/v1/models/bell")).json() == model
    assert (await Client().get("/v1/audio/models")).json() == {"models": [{"id": "bell"}]}


async def test_a_model_id_may_contain_a_slash(settings):
    settings.MULTI_USER = True
    await offload(make_model, "org/bell")

    assert (await Client().get("/v1/models/org/bell")).json()["id"] == "org/bell"


async def test_voices_are_listed_under_both_names_and_can_be_filtered(settings):
    settings.MULTI_USER = True
    model = await offload(make_model, "bell")
    await offload(make_voice, "aria", model=model, language="en-US", gender="female")
    await offload(make_voice, "bruno", model=model, language="de")
    await offload(make_voice, "chloe", language="en-GB")

    async def names(query):
        return (await Client().get(f"/v1/audio/voices?legacy=true&{query}")).json()["voices"]

    everything = (await Client().get("/v1/audio/voices")).json()
    assert everything["voices"] == everything["data"]
    assert {
        "id": "aria",
        "name": "Aria",
        "language": "en-US",
        "gender": "female",
        "model": "bell",
    }.items() <= (everything["data"][0].items())
    assert await names("") == ["aria", "bruno", "chloe"]
    assert await names("model=bell") == ["aria", "bruno"]
    assert await names("language=en") == ["aria", "chloe"]
    assert await names("language=en_gb&model=bell") == []


async def test_private_voices_are_listed_for_their_owner_only(settings):
    settings.MULTI_USER = True
    made = await offload(lambda: keys.create_key(make_user(), "x"))
    await offload(make_voice, "mine", owner_id=made.key.user_id, approved=False)

    own = (await with_key(made.token).get("/v1/audio/voices")).json()["data"]

    assert [(voice["id"], voice["is_owner"]) for voice in own] == [("mine", True)]
    assert (await Client().get("/v1/audio/voices")).json()["data"] == []
    assert await offload(Voice.objects.count) == 1


# --- Account ----------------------------------------------------------------------------------------------


async def test_in_single_user_mode_the_account_is_local(local):
    assert (await own_page().get("/v1/me")).json() == {"id": local.pk, "username": "local", "via": "local"}


async def test_only_the_given_preferences_are_changed(local):
    client = own_page()
    defaults = (await client.get("/v1/me/preferences")).json()
    assert defaults == {
        "pinned_voices": [],
        "default_voice": None,
        "default_speed": 1.0,
        "usage_threshold": 80,
    }

    await client.send("PATCH", "/v1/me/preferences", {"pinned_voices": ["b", "a"], "default_voice": "a"})
    await client.send("PATCH", "/v1/me/preferences", {"default_speed": 2, "usage_threshold": None})
    await client.send("PATCH", "/v1/me/preferences", {})

    assert (await client.get("/v1/me/preferences")).json() == {
        "pinned_voices": ["b", "a"],
        "default_voice": "a",
        "default_speed": 2.0,
        "usage_threshold": None,
    }


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"default_speed": 5}, "default_speed"),
        ({"default_speed": None}, "default_speed"),
        ({"default_speed": "1"}, "default_speed"),
        ({"usage_threshold": 0}, "usage_threshold"),
        ({"default_voice": "a\0"}, "default_voice"),
        ({"pinned_voices": ["x" * 65]}, "pinned_voices.0"),
        ({"pinned_voices": ["x"] * 501}, "pinned_voices"),
        ({"pinned_voices": None}, "pinned_voices"),
    ],
)
async def test_an_invalid_preference_is_named_in_the_error(local, change, param):
    answer = await own_page().send("PATCH", "/v1/me/preferences", change)

    assert error_of(answer) == (400, "invalid_request")
    assert answer.json()["error"]["param"] == param


# --- Description ------------------------------------------------------------------------------------------


async def test_every_operation_is_described_with_its_errors():
    description = (await Client().get("/v1/openapi.json")).json()

    for path, methods in description["paths"].items():
        for operation in methods.values():
            assert operation["summary"]
            assert all(given["description"] for given in operation["parameters"]), path
            assert operation["security"] == [{"RequireAccount": []}] or path in PUBLIC
            assert {"401", "403", "503"} <= set(operation["responses"])
    names = [operation["operationId"] for m in description["paths"].values() for operation in m.values()]
    assert len(set(names)) == len(names) == len(OPERATIONS) + sum(NOT_NINJA.values())
    assert description["paths"].keys() == {path for _, path in OPERATIONS} | NOT_NINJA.keys()


async def test_every_body_has_an_example_and_every_error_one_of_its_status():
    description = (await Client().get("/v1/openapi.json")).json()

    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            bodies = list(operation.get("requestBody", {}).get("content", {}).values())
            for status, answer in operation["responses"].items():
                body = answer.get("content", {}).get("application/json")
                bodies += [body] if body else []
                if int(status) >= 400:
                    example = body["example"]
                    assert example["error"].keys() == {"message", "type", "param", "code"}
                    assert f"`{example['error']['code']}`" in PROTOCOL
            assert all("example" in body for body in bodies), (method, path)


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_examples_match_their_schemas(name):
    schema = getattr(schemas, name, None) or getattr(usage_schemas, name)

    example = examples.EXAMPLES[name]

    assert schema.model_validate_json(json.dumps(example))
    assert example.keys() <= schema.model_fields.keys()
    if not issubclass(schema, schemas.Request):
        assert example.keys() == schema.model_fields.keys()


async def test_the_documentation_page_loads_no_external_resources():
    page = (await Client().get("/v1/docs")).content.decode()

    assert "swagger-ui-bundle.js" in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page)


# --- ASGI entry point -------------------------------------------------------------------------------------


async def through_asgi(path, method="GET", body=(b"",), *, root_path="", **headers):
    """(status, body) of a request to the application of `config.asgi`."""
    from config.asgi import application

    headers = {"host": "localhost", "origin": "http://localhost"} | headers
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": root_path,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    communicator = ApplicationCommunicator(application, scope)
    for chunk in body:
        await communicator.send_input({"type": "http.request", "body": chunk, "more_body": True})
    await communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await communicator.receive_output(PATIENCE)
    content = (await communicator.receive_output(PATIENCE))["body"]
    await communicator.wait(PATIENCE)
    return start["status"], content


async def test_the_api_is_served_without_csrf_tokens(local):
    body = json.dumps({"content": "Hello there."}).encode()
    status, content = await through_asgi("/v1/documents/text", method="POST", body=[body])

    assert status == 201
    assert json.loads(content)["block_count"] == 1
    assert (await through_asgi("/v1/nope"))[0] == 404
    assert (await through_asgi("/v1/me"))[0] == 200


async def test_voices_and_models_below_audio_belong_to_the_api(local):
    assert (await through_asgi("/v1/audio/voices"))[0] == 200
    assert (await through_asgi("/v1/audio/models"))[0] == 200
    assert (await through_asgi("/v1/audio/nope"))[0] == 404


@pytest.mark.parametrize("path", ["/v1/documents/text", "/login/"])
@pytest.mark.parametrize("announce", [True, False])
async def test_a_body_that_is_too_large_is_refused_while_receiving(local, path, announce):
    limit = django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    chunks = [b"x" * (limit // 2)] * 4
    headers = {"content_length": str(limit * 2)} if announce else {}

    status, content = await through_asgi(path, method="POST", body=chunks, **headers)

    assert status == 413
    assert json.loads(content)["error"]["code"] == "request_too_large"


async def test_an_unknown_socket_is_closed_with_a_reason():
    from config.asgi import application

    communicator = ApplicationCommunicator(application, {"type": "websocket", "path": "/nope", "headers": []})
    await communicator.send_input({"type": "websocket.connect"})

    assert (await communicator.receive_output(PATIENCE))["type"] == "websocket.accept"
    assert (await communicator.receive_output(PATIENCE))["code"] == 4404
    await communicator.wait(PATIENCE)
