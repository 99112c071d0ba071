"""POST /v1/synthesize and voice previews: responses and errors."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from config.database.offload import offload
from tests.waiting import async_wait_until
from tests.yapit.api.v1.synthesis_requests import error_of, speaking_site, synthesize, with_worker
from tests.yapit.jobs.job_steps import at_rest, finalize, finish, submit_nothing, text_of
from tests.yapit.sockets.socket_client import fail_all
from tests.yapit.web.http_clients import with_key
from yapit import jobs
from yapit.accounts import keys
from yapit.catalog import previews
from yapit.realtime.subscribers import Subscribers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def site(async_redis, settings):
    async with speaking_site(settings) as page:
        yield page


async def test_a_text_becomes_audio_in_one_request(site, redis):
    answer = await with_worker(redis, synthesize(site))

    assert (answer.status_code, answer["Content-Type"]) == (200, "audio/ogg")
    assert answer.content.startswith(b"OggS")
    assert (answer["X-Duration-Ms"], answer["X-Cache"]) == ("1234", "miss")
    assert answer["ETag"] == f'"{answer["X-Audio-Hash"]}"'
    assert answer["Content-Location"] == f"/v1/audio/{answer['X-Audio-Hash']}"


async def test_the_billing_entry_names_the_api_key_that_caused_it(site, redis):
    account = await offload(User.objects.get, username="local")
    key = await offload(keys.create_key, account, "laptop")
    await with_worker(redis, synthesize(site, "Without a key."))
    await with_worker(redis, synthesize(with_key(key.token), "With a key."))

    entries = [fields for _, fields in redis.xrange("billing")]

    assert [fields[b"api_key"].decode() for fields in entries] == ["", key.key.pk]


async def test_the_same_text_again_is_served_without_a_worker(site, redis):
    first = await with_worker(redis, synthesize(site))
    again = await synthesize(site)

    assert again["X-Cache"] == "hit"
    assert again.content == first.content
    assert redis.xlen("billing") == 1


async def test_the_json_response_has_the_url_of_the_audio(site, redis):
    answer = await with_worker(redis, synthesize(site, accept="application/json"))

    content = answer.json()
    assert content == {
        "hash": content["hash"],
        "audio_url": f"/v1/audio/{content['hash']}",
        "duration_ms": 1234,
        "words": None,
        "cached": False,
        "model": "tone",
        "voice": "sine",
    }
    assert redis.exists(f"audio:{content['hash']}")


async def test_requests_that_do_not_prefer_json_get_audio(site, redis):
    for accept in ("*/*", "audio/ogg", "application/octet-stream", "audio/*, application/json;q=0.5"):
        answer = await with_worker(redis, synthesize(site, accept=accept))

        assert answer["Content-Type"] == "audio/ogg"


async def test_concurrent_requests_for_the_same_text_share_one_job(site, redis):
    requests = asyncio.gather(*(synthesize(site) for _ in range(5)))
    answers = await with_worker(redis, requests)

    assert {answer.status_code for answer in answers} == {200}
    assert redis.xlen("billing") == 1
    assert await sync_to_async(finished_jobs)(redis) == 1


def finished_jobs(redis):
    return redis.zcard("finished")


async def test_errors_of_the_engine_are_returned(site, redis):
    statuses = {"engine_failed": 502, "text_too_long": 422, "bad_audio": 502, "worker_lost": 503, "new": 502}
    for code, status in statuses.items():
        answer = await with_worker(redis, synthesize(site, code), lambda r, c=code: fail_all(r, c))

        assert error_of(answer) == (status, code)
        assert ("Retry-After" in answer) == (status == 503)


async def test_a_text_with_nothing_to_speak_is_refused(site, redis):
    @sync_to_async
    def say_nothing(redis):
        while job := jobs.claim(redis, "tone", "w"):
            submit_nothing(redis, job.id, "w")
        finalize(redis)

    answer = await with_worker(redis, synthesize(site, "…"), say_nothing)

    assert error_of(answer) == (422, "nothing_to_speak")


BAD = (
    {},
    {"text": ""},
    {"text": "x" * 5001},
    {"text": 5},
    {"text": "\ud83d"},
    [],
    {"text": "a", "voice": "UP"},
)


async def test_invalid_requests_are_refused_without_a_job(site):
    for body in BAD:
        answer = await site.post("/v1/synthesize", json.dumps(body), content_type="application/json")
        assert error_of(answer) == (400, "invalid_request")
    assert error_of(await synthesize(site, model="no")) == (404, "model_not_found")
    assert error_of(await synthesize(site, voice="no")) == (404, "voice_not_found")
    assert error_of(await site.get("/v1/audio/voices/no/preview")) == (404, "voice_not_found")


async def test_a_spent_allowance_is_402_with_the_balance(site, redis, settings):
    settings.DEFAULT_CHARACTER_LIMIT = 5

    answer = await synthesize(site)

    assert error_of(answer) == (402, "usage_limit")
    assert answer.json()["error"]["usage"]["requested"] == len("Hello there.")
    assert await sync_to_async(at_rest)(redis)


async def test_too_many_requests_get_429_with_retry_after(site, redis, settings):
    settings.MESSAGES_BURST, settings.MESSAGES_PER_SECOND = 1, 0.1
    await with_worker(redis, synthesize(site))

    answer = await synthesize(site, "Another.")

    assert error_of(answer) == (429, "rate_limited")
    assert int(answer["Retry-After"]) >= 1


async def test_too_many_new_blocks_get_429_with_retry_after(site, redis, settings):
    settings.BLOCKS_PER_MINUTE = 1
    await with_worker(redis, synthesize(site))

    assert error_of(await synthesize(site, "Another.")) == (429, "rate_limited")
    assert error_of(await site.get("/v1/audio/voices/sine/preview")) == (429, "rate_limited")


async def test_concurrent_requests_of_an_account_are_limited(site, redis, settings):
    settings.CONNECTIONS_PER_USER = 1
    first = asyncio.create_task(synthesize(site))
    await async_wait_until(lambda: redis.exists("limit:connections:" + str(first_user(redis))), 15)

    answer = await synthesize(site, "Another.")

    assert error_of(answer) == (429, "too_many_connections")
    assert (await with_worker(redis, first)).status_code == 200
    await async_wait_until(lambda: not redis.keys("limit:connections:*"), 15)


def first_user(redis):
    keys = redis.keys("limit:connections:*")
    return keys[0].decode().rpartition(":")[2] if keys else ""


async def test_a_repeated_request_after_a_timeout_joins_the_job(site, redis, settings):
    settings.SYNTHESIZE_TIMEOUT = 0.3
    answer = await synthesize(site)
    assert error_of(answer) == (504, "timeout")
    assert len(redis.keys("job:*")) == 1

    settings.SYNTHESIZE_TIMEOUT = 20.0
    answer = await with_worker(redis, synthesize(site))

    assert answer.status_code == 200
    assert redis.xlen("billing") == 1


async def test_a_lost_notification_only_delays_the_response(site, redis, monkeypatch):
    monkeypatch.setattr(Subscribers, "deliver", lambda *args: None)

    answer = await with_worker(redis, synthesize(site))

    assert answer.status_code == 200


# --- Previews ---------------------------------------------------------------------------------------------


async def test_a_preview_is_free_and_in_the_language_of_the_voice(site, redis, settings):
    settings.DEFAULT_CHARACTER_LIMIT = 0
    spoken = []

    @sync_to_async
    def note(redis):
        while job := jobs.claim(redis, "tone", "w"):
            spoken.append(text_of(job))
            finish(redis, job)

    answer = await with_worker(redis, site.get("/v1/audio/voices/sine/preview"), note)

    assert (answer.status_code, answer["Content-Type"]) == (200, "audio/ogg")
    assert spoken == [previews.SENTENCES["de"]]
    [(_, entry)] = redis.xrange("billing")
    assert entry[b"billable"] == b"0"


async def test_a_preview_with_a_matching_entity_tag_gets_304(site, redis):
    first = await with_worker(redis, site.get("/v1/audio/voices/sine/preview"))
    again = await site.get("/v1/audio/voices/sine/preview", headers={"if-none-match": first["ETag"]})

    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert again["Cache-Control"] == first["Cache-Control"] == "private, max-age=86400"


@pytest.mark.parametrize("language", ["pt-BR", "PT", "pt_PT"])
def test_every_variant_of_a_language_has_its_sentence(language):
    assert previews.sentence(language) == previews.SENTENCES["pt"]


def test_a_language_without_a_sentence_gets_the_english_one():
    assert previews.sentence("tlh") == previews.sentence("") == previews.SENTENCES["en"]
