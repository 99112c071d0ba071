"""Conditional GETs answered before Django, and default headers of Django's responses."""

import pytest
from asgiref.testing import ApplicationCommunicator

import config.asgi
from config import caching
from config.caching.figures import figures
from config.database.offload import offload
from tests.waiting import PATIENCE, async_wait_until
from tests.yapit.factories import make_user, make_voice
from yapit.accounts import keys
from yapit.api.http import not_modified
from yapit.api.openai import discovery

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/v1/models"


@pytest.fixture(autouse=True)
async def django_requests(settings, monkeypatch, redis):
    """Paths of requests that reached Django."""
    settings.MULTI_USER = True
    await caching.listen().subscribed()  # a new subscription empties all caches: wait for it before the test
    caching.flush_all()
    not_modified.responses.clear()
    paths = []
    django = config.asgi.api.application

    async def recorded(scope, receive, send):
        paths.append(scope["path"])
        await django(scope, receive, send)

    monkeypatch.setattr(config.asgi, "api", not_modified.NotModifiedLayer(recorded))
    return paths


async def ask(path=PATH, query=b"", method="GET", **headers):
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "headers": [
            (name.replace("_", "-").encode(), value.encode())
            for name, value in ({"host": "localhost"} | headers).items()
        ],
    }
    communicator = ApplicationCommunicator(config.asgi.application, scope)
    await communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await communicator.receive_output(PATIENCE)
    body = (await communicator.receive_output(PATIENCE)).get("body", b"")
    await communicator.wait(PATIENCE)
    return start["status"], {name.lower(): value for name, value in start["headers"]}, body


async def tag_of(path=PATH, query=b"", **headers):
    return (await ask(path, query, **headers))[1][b"etag"].decode()


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/models", b""),
        ("/v1/audio/models", b""),
        ("/v1/audio/voices", b""),
        ("/v1/audio/voices", b"legacy=true"),
        ("/v1/leaderboard/recent", b"limit=5"),
    ],
)
async def test_a_current_entity_tag_gets_304_without_django(django_requests, path, query):
    _, full, body = await ask(path, query)
    status, headers, empty = await ask(path, query, if_none_match=full[b"etag"].decode(), x_request_id="abc")

    assert (status, empty, django_requests) == (304, b"", [path])
    assert body
    for name in (b"etag", b"cache-control", b"vary"):
        assert headers.get(name) == full.get(name)
    assert headers[b"x-request-id"] == b"abc"


async def test_a_stale_response_counts_as_current_while_it_is_rebuilt(django_requests, monkeypatch):
    monkeypatch.setattr(discovery.lists, "seconds", 0.0)
    tag = await tag_of()
    before = rebuilds()

    assert (await ask(if_none_match=tag))[0] == 304

    await async_wait_until(lambda: rebuilds() == before + 1)
    assert django_requests == [PATH]


def rebuilds():
    return next(cache.rebuilds for cache in figures() if cache.name == "discovery")


async def test_after_a_change_requests_reach_django(django_requests):
    tag = await tag_of("/v1/audio/voices")
    await offload(make_voice, "aria")
    caching.flush_all()

    assert (await ask("/v1/audio/voices", if_none_match=tag))[0] == 200
    assert len(django_requests) == 2


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": "Bearer nope"}, 401),
        ({"origin": "https://evil.example"}, 403),
        ({"host": "evil.example"}, 403),
        ({"if_match": '"other"'}, 412),
    ],
)
async def test_requests_that_django_refuses_are_refused(django_requests, headers, expected):
    tag = await tag_of()

    assert (await ask(if_none_match=tag, **headers))[0] == expected


async def test_a_valid_key_gets_304_for_public_responses(django_requests):
    made = await offload(lambda: keys.create_key(make_user(), "laptop"))
    tag = await tag_of()

    assert (await ask(if_none_match=tag, authorization=f"Bearer {made.token}"))[0] == 304
    assert len(django_requests) == 1


async def test_credentials_are_not_answered_with_the_anonymous_voice_list(django_requests):
    made = await offload(lambda: keys.create_key(make_user(), "laptop"))
    await offload(make_voice, "mine", owner_id=made.key.user_id)
    tag = await tag_of("/v1/audio/voices")

    status, headers, _ = await ask(
        "/v1/audio/voices", if_none_match=tag, authorization=f"Bearer {made.token}"
    )

    assert (status, headers[b"cache-control"]) == (200, b"private, no-cache")


async def test_other_urls_and_methods_reach_django(django_requests):
    tag = await tag_of()
    await ask(query=b"x=1", if_none_match=tag)
    await ask(method="POST", if_none_match=tag)
    await ask()

    assert len(django_requests) == 4


async def test_the_number_of_registered_responses_is_limited(monkeypatch):
    monkeypatch.setattr(not_modified, "MAX_RESPONSES", 3)
    for number in range(6):
        await ask(query=b"x=%d" % number)
    await ask(query=b"x" * 300)

    assert len(not_modified.responses) == 3


# --- Default headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/me/preferences", 200),
        ("/v1/documents", 200),
        ("/v1/documents/00000000-0000-0000-0000-000000000000", 404),
        ("/v1/nothing", 404),
        ("/v1/models", 200),
    ],
)
async def test_responses_have_content_length_and_private_cache_control(path, status):
    made = await offload(lambda: keys.create_key(make_user(), "laptop"))

    answer, headers, body = await ask(path, authorization=f"Bearer {made.token}")

    assert (answer, int(headers[b"content-length"])) == (status, len(body))
    if not path.startswith(PATH):
        assert headers[b"cache-control"] == b"private, no-cache"
        assert headers[b"vary"] == b"Authorization, Cookie"


async def test_responses_without_a_body_have_no_content_length():
    status, headers, body = await ask(if_none_match="*")

    assert (status, body) == (304, b"")
    assert b"content-length" not in headers
