"""GET and HEAD of audio: authentication, stores, ranges, caching. With real Valkey and SQLite."""

import asyncio
import json
import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from audiocache import blob
from audiocache.errors import StoreUnavailable
from audiocache.sqlite import SqliteStore
from tests.audiocache.audio_blobs import sound
from tests.audiocache.files import copy_files
from tests.waiting import async_wait_until
from yapit.api import audio
from yapit.api.audio import AudioApplication
from yapit.errors import AuthenticationUnavailable, NotAuthenticated, OriginRefused

ONE = sound("one", 100_000)
TAG = f'"{ONE.hash}"'


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self):
        return json.loads(self.body)["error"]["code"]


async def accept(scope):
    """Accepts every request."""


def refuses(error):
    async def identify(scope):
        raise error

    return identify


async def ask(application, hash_or_path=ONE.hash, method="GET", **headers):
    path = hash_or_path if hash_or_path.startswith("/") else f"/v1/audio/{hash_or_path}"
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs, "query_string": b"token=yk_x"}
    sent = []

    async def send(message):
        sent.append(message)

    await application(scope, None, send)
    start, body = sent
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    assert len(answered) == len(start["headers"])
    return Response(start["status"], answered, body["body"])


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(copy_files(tmp_path / "files") / "audio.sqlite3", 10**9)
    store.open_writer()
    yield store
    store.close()


@pytest.fixture
def application(store):
    return AudioApplication(accept, lambda: store)


@pytest.fixture
async def hot(async_redis):
    await async_redis.set(f"audio:{ONE.hash}", ONE.blob)


@pytest.fixture
async def cold(async_redis, store):
    store.write_batch([ONE.put], [])


@pytest.fixture
def no_redis(settings):
    """Point REDIS_URL to a closed port."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"


@pytest.fixture(params=["hot", "cold"])
def anywhere(request):
    request.getfixturevalue(request.param)


async def test_audio_is_served_from_both_stores(application, anywhere):
    answer = await ask(application)

    assert (answer.status, answer.body) == (200, ONE.audio)
    assert answer.headers == {
        "content-type": "audio/ogg",
        "content-length": "100000",
        "accept-ranges": "bytes",
        "etag": TAG,
        "x-audio-sum": ONE.sum,
        "cache-control": "private, max-age=31536000, immutable",
        "x-content-type-options": "nosniff",
    }


async def test_head_has_the_same_headers_without_a_body(application, anywhere):
    full = await ask(application)

    for headers in ({}, {"range": "bytes=0-4"}):
        head = await ask(application, method="HEAD", **headers)
        assert (head.status, head.headers, head.body) == (200, full.headers, b"")


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=99990-", 99_990, 100_000), ("bytes=-10", 99_990, 100_000)],
)
async def test_a_range_is_served_as_partial_content(application, anywhere, value, start, stop):
    answer = await ask(application, range=value)

    assert (answer.status, answer.body) == (206, ONE.audio[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/100000"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.headers["etag"] == TAG


async def test_several_ranges_get_the_complete_audio(application, anywhere):
    answer = await ask(application, range="bytes=0-9,20-29")

    assert (answer.status, answer.body) == (200, ONE.audio)


@pytest.mark.parametrize(
    "value", ["bytes=100000-", "bytes=100000-200000", "bytes=-0", f"bytes={'9' * 5000}-"]
)
async def test_a_range_past_the_end_is_refused_with_the_length(application, anywhere, value):
    answer = await ask(application, range=value)

    assert (answer.status, answer.code) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */100000"


@pytest.mark.parametrize(("if_range", "status"), [(f'"{ONE.sum}"', 206), (TAG, 200), (f'W/"{ONE.sum}"', 200)])
async def test_if_range_requires_the_same_checksum(application, anywhere, if_range, status):
    answer = await ask(application, range="bytes=0-9", if_range=if_range)

    assert answer.status == status


async def test_of_stored_audio_only_the_range_is_read(cold, store):
    ranges = []

    def get_range(*args):
        ranges.append(args)
        return store.get_range(*args)

    answer = await ask(
        AudioApplication(accept, lambda: SimpleNamespace(get_range=get_range)), range="bytes=10-19"
    )

    assert (answer.status, answer.body) == (206, ONE.audio[10:20])
    assert ranges == [(ONE.hash, 10, 20)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_matching_entity_tag_is_answered_without_a_lookup(no_redis, method):
    def read(hash_hex):
        raise AssertionError("storage was read")

    answer = await ask(
        AudioApplication(accept, lambda: SimpleNamespace(get=read)),
        method=method,
        if_none_match=f'"other", W/{TAG}',
    )

    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == TAG
    assert "immutable" in answer.headers["cache-control"]


async def test_if_none_match_has_precedence_over_a_range(application, hot):
    answer = await ask(application, range="bytes=0-9", if_none_match="*")

    assert answer.status == 304


@pytest.mark.parametrize(
    "path",
    [
        ONE.hash.upper(),
        ONE.hash[:63],
        f"{ONE.hash}0",
        f"{ONE.hash}\n",
        f"{ONE.hash}/",
        f"{ONE.hash}\x00",
        f"../audio/{ONE.hash}",
        f"/v1/audio//{ONE.hash}",
        f"/v2/audio/{ONE.hash}",
        "٣" * 64,
        "voices",
        "",
    ],
)
async def test_an_invalid_hash_is_not_found(hot, path):
    answer = await ask(AudioApplication(refuses(AssertionError)), path or "/v1/audio/")

    assert (answer.status, answer.code) == (404, "not_found")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"])
async def test_audio_can_only_be_read(application, hot, method):
    answer = await ask(application, method=method)

    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("conditions", [{}, {"if_none_match": "*"}])
@pytest.mark.parametrize("hash_hex", [ONE.hash, sound("absent").hash])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotAuthenticated("missing_credentials", "Log in."), 401, "missing_credentials"),
        (OriginRefused("Not from there."), 403, "origin_refused"),
        (AuthenticationUnavailable("Try again."), 503, "cannot_check"),
    ],
)
async def test_an_unauthenticated_client_does_not_learn_whether_audio_exists(
    hot, store, error, status, code, hash_hex, conditions
):
    answer = await ask(AudioApplication(refuses(error), lambda: store), hash_hex, **conditions)

    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["cache-control"] == "no-store"


async def test_refusals_have_www_authenticate_or_retry_after(hot):
    unknown = await ask(AudioApplication(refuses(NotAuthenticated("invalid_api_key", "No."))))
    unsure = await ask(AudioApplication(refuses(AuthenticationUnavailable("Later."))))

    assert unknown.headers["www-authenticate"] == "Bearer"
    assert unsure.headers["retry-after"] == "1"


async def test_public_audio_needs_no_credentials(hot, store, settings):
    settings.AUDIO_PUBLIC = True

    answer = await ask(AudioApplication(refuses(AssertionError), lambda: store))

    assert answer.status == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_audio_in_neither_store_is_gone(application, async_redis):
    answer = await ask(application, sound("absent").hash)

    assert (answer.status, answer.code) == (404, "audio_gone")
    assert answer.headers["cache-control"] == "no-store"


async def test_damaged_hot_audio_is_not_served(application, async_redis, cold):
    await async_redis.set(f"audio:{ONE.hash}", ONE.blob[:-1])

    assert (await ask(application)).body == ONE.audio


async def test_without_redis_stored_audio_is_served(application, cold, no_redis):
    assert (await ask(application)).body == ONE.audio


async def test_without_redis_audio_that_is_not_stored_is_unavailable(application, no_redis):
    answer = await ask(application)

    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_an_unreadable_sqlite_file_is_unavailable(async_redis):
    def read(hash_hex):
        raise StoreUnavailable("locked")

    answer = await ask(AudioApplication(accept, lambda: SimpleNamespace(get=read)))

    assert (answer.status, answer.code) == (503, "unavailable")


@pytest.mark.parametrize("media_type", ["text/html", "audio/ogg\r\nset-cookie: a=b", "audio/ogg; x=y", ""])
async def test_only_audio_media_types_are_sent(application, async_redis, media_type):
    header = blob.header_for(ONE.audio, duration_ms=1, media_type=media_type)
    await async_redis.set(f"audio:{ONE.hash}", blob.pack(header, ONE.audio))

    assert (await ask(application)).headers["content-type"] == "application/octet-stream"


async def test_a_slow_disk_blocks_no_other_request_and_its_queue_is_bounded(hot, monkeypatch):
    monkeypatch.setattr(audio, "COLD_LIMIT", 6)
    release = threading.Event()
    application = AudioApplication(
        accept, lambda: SimpleNamespace(get=lambda hash_hex: release.wait(10) and None)
    )
    absent = sound("absent").hash
    waiting = [asyncio.create_task(ask(application, absent)) for _ in range(8)]
    await async_wait_until(lambda: sum(task.done() for task in waiting) == 2)

    assert (await ask(application)).body == ONE.audio

    release.set()
    answers = await asyncio.gather(*waiting)
    assert sorted(answer.status for answer in answers) == [404] * 6 + [503] * 2
    assert (await ask(application, absent)).status == 404
