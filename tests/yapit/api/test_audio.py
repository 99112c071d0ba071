"""GET and HEAD of audio: who gets it, from where, whole and in part. Real Valkey, real SQLite, no server."""

import asyncio
import json
import threading
from dataclasses import dataclass

import pytest

from audiocache import blob
from audiocache.errors import StoreUnavailable
from audiocache.store import AudioStore
from tests.audiocache.audio_blobs import sound
from tests.audiocache.files import copy_files
from tests.waiting import async_wait_until
from yapit.api import audio
from yapit.api.audio import AudioApplication
from yapit.errors import AuthenticationUnavailable, NotAuthenticated, OriginRefused

ONE = sound("one", 100_000)
TAG = f'"{ONE.hash}"'


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self):
        return json.loads(self.body)["error"]["code"]


async def known(scope):
    """Stands for an account."""


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
    return Answered(start["status"], answered, body["body"])


@pytest.fixture
def store(tmp_path):
    store = AudioStore(copy_files(tmp_path / "files") / "audio.sqlite3", 10**9)
    store.open_writer()
    yield store
    store.close()


@pytest.fixture
def application(store):
    return AudioApplication(known, store.get)


@pytest.fixture
async def hot(async_redis):
    await async_redis.set(f"audio:{ONE.hash}", ONE.blob)


@pytest.fixture
async def cold(async_redis, store):
    store.write_batch([ONE.put], [])


@pytest.fixture
def no_redis(settings):
    """Nobody listens where Redis should be."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"


@pytest.fixture(params=["hot", "cold"])
def anywhere(request):
    request.getfixturevalue(request.param)


async def test_audio_comes_whole_from_wherever_it_is(application, anywhere):
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


async def test_head_says_the_same_without_the_body(application, anywhere):
    whole = await ask(application)

    for headers in ({}, {"range": "bytes=0-4"}):
        head = await ask(application, method="HEAD", **headers)
        assert (head.status, head.headers, head.body) == (200, whole.headers, b"")


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=99990-", 99_990, 100_000), ("bytes=-10", 99_990, 100_000)],
)
async def test_a_range_comes_as_a_part(application, anywhere, value, start, stop):
    answer = await ask(application, range=value)

    assert (answer.status, answer.body) == (206, ONE.audio[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/100000"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.headers["etag"] == TAG


async def test_several_ranges_get_the_whole(application, hot):
    answer = await ask(application, range="bytes=0-9,20-29")

    assert (answer.status, answer.body) == (200, ONE.audio)


async def test_a_range_behind_the_end_is_refused_with_the_length(application, hot):
    answer = await ask(application, range="bytes=100000-")

    assert (answer.status, answer.code) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */100000"


@pytest.mark.parametrize(("if_range", "status"), [(f'"{ONE.sum}"', 206), (TAG, 200), (f'W/"{ONE.sum}"', 200)])
async def test_a_part_is_continued_only_of_the_very_same_bytes(application, hot, if_range, status):
    answer = await ask(application, range="bytes=0-9", if_range=if_range)

    assert answer.status == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_the_client_has_is_confirmed_without_looking(no_redis, method):
    def read(hash_hex):
        raise AssertionError("storage was read")

    answer = await ask(AudioApplication(known, read), method=method, if_none_match=f'"other", W/{TAG}')

    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == TAG
    assert "immutable" in answer.headers["cache-control"]


async def test_a_condition_comes_before_a_range(application, hot):
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
async def test_what_is_no_hash_is_not_found(hot, path):
    answer = await ask(AudioApplication(refuses(AssertionError)), path or "/v1/audio/")

    assert (answer.status, answer.code) == (404, "not_found")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"])
async def test_audio_can_only_be_read(application, hot, method):
    answer = await ask(application, method=method)

    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("more", [{}, {"if_none_match": "*"}])
@pytest.mark.parametrize("asked", [ONE.hash, sound("absent").hash])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotAuthenticated("missing_credentials", "Log in."), 401, "missing_credentials"),
        (OriginRefused("Not from there."), 403, "origin_refused"),
        (AuthenticationUnavailable("Try again."), 503, "cannot_check"),
    ],
)
async def test_who_may_not_ask_learns_nothing(hot, store, error, status, code, asked, more):
    answer = await ask(AudioApplication(refuses(error), store.get), asked, **more)

    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["cache-control"] == "no-store"


async def test_refusals_say_what_to_do_next(hot):
    unknown = await ask(AudioApplication(refuses(NotAuthenticated("invalid_api_key", "No."))))
    unsure = await ask(AudioApplication(refuses(AuthenticationUnavailable("Later."))))

    assert unknown.headers["www-authenticate"] == "Bearer"
    assert unsure.headers["retry-after"] == "1"


async def test_behind_a_public_cache_nobody_is_asked(hot, store, settings):
    settings.AUDIO_PUBLIC = True

    answer = await ask(AudioApplication(refuses(AssertionError), store.get))

    assert answer.status == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_audio_in_neither_place_is_gone(application, async_redis):
    answer = await ask(application, sound("absent").hash)

    assert (answer.status, answer.code) == (404, "audio_gone")
    assert answer.headers["cache-control"] == "no-store"


async def test_damaged_hot_audio_is_not_served(application, async_redis, cold):
    await async_redis.set(f"audio:{ONE.hash}", ONE.blob[:-1])

    assert (await ask(application)).body == ONE.audio


async def test_without_redis_what_is_stored_is_served(application, cold, no_redis):
    assert (await ask(application)).body == ONE.audio


async def test_without_redis_what_is_not_stored_may_be_there_later(application, no_redis):
    answer = await ask(application)

    assert (answer.status, answer.code) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_when_sqlite_cannot_be_read_either_it_says_so(async_redis):
    def read(hash_hex):
        raise StoreUnavailable("locked")

    answer = await ask(AudioApplication(known, read))

    assert (answer.status, answer.code) == (503, "unavailable")


@pytest.mark.parametrize("media_type", ["text/html", "audio/ogg\r\nset-cookie: a=b", "audio/ogg; x=y", ""])
async def test_only_audio_is_called_by_its_type(application, async_redis, media_type):
    header = blob.header_for(ONE.audio, duration_ms=1, media_type=media_type)
    await async_redis.set(f"audio:{ONE.hash}", blob.pack(header, ONE.audio))

    assert (await ask(application)).headers["content-type"] == "application/octet-stream"


async def test_a_slow_disk_holds_nobody_else_up_and_its_queue_ends(hot, monkeypatch):
    monkeypatch.setattr(audio, "COLD_WAITING", 6)
    go_on = threading.Event()
    application = AudioApplication(known, lambda hash_hex: go_on.wait(10) and None)
    absent = sound("absent").hash
    waiting = [asyncio.create_task(ask(application, absent)) for _ in range(8)]
    await async_wait_until(lambda: sum(task.done() for task in waiting) == 2)

    assert (await ask(application)).body == ONE.audio

    go_on.set()
    answers = await asyncio.gather(*waiting)
    assert sorted(answer.status for answer in answers) == [404] * 6 + [503] * 2
    assert (await ask(application, absent)).status == 404
