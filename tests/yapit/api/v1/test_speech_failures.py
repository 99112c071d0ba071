"""POST /v1/synthesize and previews: disconnects, revoked keys, malformed requests, missing voices."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from config.database.offload import offload
from tests.waiting import async_wait_until
from tests.yapit.api.v1.synthesis_requests import (
    DisconnectingClient,
    error_of,
    speaking_site,
    synthesize,
    with_worker,
)
from tests.yapit.factories import make_model, make_voice
from tests.yapit.jobs.job_steps import at_rest, finish
from tests.yapit.web.http_clients import with_key
from yapit import jobs
from yapit.accounts import keys
from yapit.catalog import previews

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def site(async_redis, settings):
    async with speaking_site(settings) as page:
        yield page


# --- Disconnects ------------------------------------------------------------------------------------------


async def test_a_disconnect_before_the_job_begins_cancels_it_without_charge(site, redis):
    client = DisconnectingClient()
    await client.send()
    await async_wait_until(lambda: redis.keys("job:*"))
    await client.disconnect()

    await async_wait_until(lambda: at_rest(redis))
    assert redis.xlen("billing") == 0


async def test_a_disconnect_during_synthesis_keeps_the_audio_and_charges_once(site, redis):
    client = DisconnectingClient()
    await client.send()
    await async_wait_until(lambda: redis.keys("job:*"))
    job = await sync_to_async(jobs.claim)(redis, "tone", "w")
    await client.disconnect()
    await async_wait_until(lambda: not redis.keys("subs:*"))
    await sync_to_async(finish)(redis, job)

    assert (await synthesize(site))["X-Cache"] == "hit"
    assert redis.xlen("billing") == 1


async def test_a_disconnect_does_not_cancel_a_shared_job(site, redis):
    client = DisconnectingClient()
    await client.send()
    await async_wait_until(lambda: redis.keys("job:*"))
    second = asyncio.create_task(synthesize(site))
    await async_wait_until(lambda: any(redis.scard(key) == 2 for key in redis.keys("subs:*")))
    await client.disconnect()
    await async_wait_until(lambda: any(redis.scard(key) == 1 for key in redis.keys("subs:*")))

    answer = await with_worker(redis, second)

    assert answer.status_code == 200
    assert redis.xlen("billing") == 1


async def test_a_key_revoked_during_synthesis_gets_no_audio(site, redis):
    made = await offload(lambda: keys.create_key(User.objects.get(username="local"), "laptop"))
    pending = asyncio.create_task(synthesize(with_key(made.token)))
    await async_wait_until(lambda: redis.keys("job:*"))
    await offload(keys.revoke, made.key)

    assert error_of(await pending) == (401, "not_authenticated")
    await async_wait_until(lambda: at_rest(redis))


# --- Malformed requests -----------------------------------------------------------------------------------


HOSTILE = {
    "deep nesting": b'{"text":' * 100_000,
    "deep lists": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not UTF-8": b'{"text": "\xff\xfe"}',
    "half a character": b'{"text": "\\ud83d"}',
    "a huge number": b'{"text": ' + b"9" * 50_000 + b"}",
    "not a number": b'{"text": NaN}',
    "no end": b'{"text": "',
    "nothing": b"",
    "a list": b"[]",
    "a number as model": b'{"text": "a", "model": 5}',
    "a list as voice": b'{"text": "a", "voice": ["sine"]}',
    "a path as voice": b'{"text": "a", "voice": "../../etc"}',
    "a long voice": b'{"text": "a", "voice": "' + b"v" * 10_000 + b'"}',
    "a NUL in the model": b'{"text": "a", "model": "to\\u0000ne"}',
}


async def test_malformed_requests_are_refused_and_not_echoed(site, redis):
    for name, body in HOSTILE.items():
        answer = await site.post("/v1/synthesize", body, content_type="application/json")

        assert answer.status_code in (400, 404), name
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}, name
        assert len(answer.content) < 1000, name
    assert await sync_to_async(at_rest)(redis)


async def test_an_oversized_body_is_refused(site):
    body = json.dumps({"text": "x" * 5_000_000})

    answer = await site.post("/v1/synthesize", body, content_type="application/json")

    assert answer.status_code in (400, 413)


async def test_unusual_texts_are_synthesized(site, redis):
    texts = ["\0", "a\0b", "\u202e\u2066", "🦜" * 5000, "a" + "\u0301" * 4999, "<script>"]
    for text in texts:
        answer = await with_worker(redis, synthesize(site, text))

        assert answer.status_code == 200, text[:10]
    assert redis.xlen("persist") == len(texts)


async def test_unusual_accept_headers_get_audio(site, redis):
    for accept in ("", ";;;,,,=", "application/json;q=0", "text/html", "x" * 8000, "image/*"):
        answer = await with_worker(redis, synthesize(site, accept=accept))

        assert (answer.status_code, answer["Content-Type"]) == (200, "audio/ogg"), accept[:10]


async def test_only_post_is_allowed(site):
    for answer in (await site.get("/v1/synthesize"), await site.put("/v1/synthesize")):
        assert error_of(answer) == (405, "method_not_allowed")


# --- Previews ---------------------------------------------------------------------------------------------


async def test_a_preview_of_an_unknown_voice_is_not_found(site, redis):
    for name in ("", "..", "%2e%2e%2fsine", "sine/sine", "tone/", "tone/no", "%00", "SINE", "x" * 3000):
        answer = await site.get(f"/v1/audio/voices/{name}/preview")

        assert answer.status_code == 404, name[:10]
    assert await sync_to_async(at_rest)(redis)


async def test_a_private_voice_has_no_preview_for_other_accounts(site, redis):
    def make_others():
        make_voice("hidden", model=make_model("off", is_active=False))
        make_voice("unapproved", model=make_model("other"), approved=False)

    await offload(make_others)
    for name in ("hidden", "unapproved"):
        assert error_of(await site.get(f"/v1/audio/voices/{name}/preview")) == (404, "voice_not_found")
        assert error_of(await synthesize(site, voice=name)) == (404, "voice_not_found")


async def test_concurrent_previews_share_one_job(site, redis):
    pending = asyncio.gather(*(site.get("/v1/audio/voices/sine/preview") for _ in range(5)))

    answers = await with_worker(redis, pending)

    assert {answer.status_code for answer in answers} == {200}
    assert redis.xlen("persist") == 1


async def test_the_text_of_a_preview_is_charged_to_its_first_request(site, redis):
    await with_worker(redis, synthesize(site, previews.SENTENCES["de"]))
    preview = await site.get("/v1/audio/voices/sine/preview")

    assert preview["X-Cache"] == "hit"
    [(_, entry)] = redis.xrange("billing")
    assert entry[b"billable"] == b"1"


async def test_malformed_entity_tags_get_a_response(site, redis):
    await with_worker(redis, site.get("/v1/audio/voices/sine/preview"))

    for known, status in {"*": 304, '"': 200, "W/": 200, f'"{"0" * 64}"': 200, "x" * 8000: 200}.items():
        answer = await site.get("/v1/audio/voices/sine/preview", headers={"if-none-match": known})

        assert answer.status_code == status, known[:10]
