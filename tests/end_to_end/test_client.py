"""The client against real processes that are killed, lose data or refuse requests."""

import asyncio
import json
import secrets
import sqlite3

import psycopg
import pytest

from tests.stack import Stack
from tests.waiting import async_wait_until, wait_until
from yapit.client import Client, NotAuthenticated, Refused, UsageLimit, speak

pytestmark = pytest.mark.slow

ACTIVATE_TONE = (
    "from yapit.models import TTSModel; TTSModel.objects.filter(slug='tone').update(is_active=True)"
)
MAKE_KEY = (
    "from django.contrib.auth.models import User; from yapit.accounts.keys import create_key; "
    "print(create_key(User.objects.get_or_create(username='{}')[0], 'client').token)"
)
REVOKE = (
    "from yapit.accounts import keys; from yapit.models import ApiKey; "
    "keys.revoke(ApiKey.objects.get(pk='{}'))"
)
COUNT = 12


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    folder.chmod(0o711)
    stack = Stack.launch(folder, LEASE_SECONDS="4", RENEW_SECONDS="1")
    stack.manage("shell", "-v0", "-c", ACTIVATE_TONE)
    stack.start_all("tone", server="uvicorn")
    yield stack
    stack.close()


def make_key(stack, username="local"):
    return stack.manage("shell", "-v0", "-c", MAKE_KEY.format(username)).strip()


@pytest.fixture(scope="module")
def key(stack):
    return stack.first_key


@pytest.fixture
def document(stack):
    name = secrets.token_hex(6)
    paragraphs = (
        f"Passage {n} of {name}, which is long enough to be a separate block and unique."
        for n in range(COUNT)
    )
    document = stack.make_document("\n\n".join(paragraphs), markdown=False)
    assert document["block_count"] == COUNT
    return document


async def blocks_of(client, document, voice="sine"):
    return [block async for block in client.speak(document["id"], model="tone", voice=voice)]


def charges(stack, document):
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        counts = "SELECT count(*) FROM billing_ledgerentry WHERE document = %s"
        return connection.execute(counts, [str(document["id"])]).fetchone()[0]


def check_all_spoken_and_charged(stack, blocks, document):
    assert [block.index for block in blocks] == list(range(COUNT))
    assert all(block.audio.startswith(b"OggS") and block.duration_ms and block.words for block in blocks)
    assert {block.pause_ms for block in blocks} == {500}
    wait_until(lambda: charges(stack, document) >= COUNT, 30)
    assert charges(stack, document) == COUNT


async def test_the_blocks_of_a_document_are_spoken_in_order(stack, key, document):
    async with Client(stack.url, key) as client:
        blocks = await blocks_of(client, document)

    check_all_spoken_and_charged(stack, blocks, document)


def test_the_synchronous_function_yields_blocks_in_order(stack, key, document):
    blocks = list(speak(stack.url, key, document["id"], model="tone", voice="sine", stop=2))

    assert [block.index for block in blocks] == [0, 1]


@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
async def test_one_text_is_spoken_without_a_document(stack, key, server):
    stack.stop("web")
    stack.start_web(server)
    async with Client(stack.url, key) as client:
        text = f"Single text {secrets.token_hex(8)}."
        first, second = [await client.synthesize(text, model="tone", voice="sine") for _ in range(2)]
        with pytest.raises(Refused) as refusal:
            await client.synthesize(" ", model="tone", voice="sine")

    assert first == second
    assert first.audio.startswith(b"OggS")
    assert first.duration_ms > 0
    assert (refusal.value.code, refusal.value.status) == ("nothing_to_speak", 422)


async def test_cancelled_requests_leave_no_jobs(stack, key):
    stack.stop("worker")
    async with Client(stack.url, key) as client:
        texts = [f"Number {number} of {secrets.token_hex(8)}." for number in range(4)]
        tasks = [asyncio.create_task(client.synthesize(text, voice="sine")) for text in texts]
        with stack.redis as redis:
            await async_wait_until(lambda: len(redis.keys("job:*")) == 4, 30)
            for task in tasks:
                task.cancel()
            await async_wait_until(lambda: not redis.keys("job:*"), 30)
    stack.start("worker")


async def test_a_request_survives_a_restart_of_web_and_valkey_and_is_charged_once(stack, key):
    stack.stop("worker")
    text = f"Single text {secrets.token_hex(8)}."
    before = charged_characters(stack)
    async with Client(stack.url, key) as client:
        request = asyncio.create_task(client.synthesize(text, model="tone", voice="sine"))
        with stack.redis as redis:
            await async_wait_until(lambda: redis.keys("job:*"), 30)
        stack.stop("web")
        stack.start_web("daphne")
        stack.kill_valkey()
        stack.start_valkey()
        stack.start("worker")
        spoken = await request
        again = await client.synthesize(text, model="tone", voice="sine")

    assert spoken.audio == again.audio
    wait_until(lambda: charged_characters(stack) >= before + len(text), 30)
    assert charged_characters(stack) == before + len(text)


def charged_characters(stack):
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        total = "SELECT coalesce(sum(characters), 0) FROM billing_ledgerentry"
        return connection.execute(total).fetchone()[0]


async def test_without_valkey_a_request_is_refused_with_retry_after(stack, key):
    async with Client(stack.url, key, patience=0.5) as client:
        await client.synthesize("Valkey is running.", model="tone", voice="sine")
        stack.kill_valkey()
        try:
            with pytest.raises(Refused) as refusal:
                await client.synthesize("Valkey is down.", model="tone", voice="sine")
        finally:
            stack.start_valkey()
    assert (refusal.value.status, refusal.value.code) == (503, "unavailable")
    assert refusal.value.retry_after


@pytest.mark.parametrize("name", ["web", "worker", "results"])
async def test_a_killed_process_only_delays_the_blocks(stack, key, document, name):
    blocks = []
    async with Client(stack.url, key) as client:
        async for block in client.speak(document["id"], model="tone", voice="slow"):
            blocks.append(block)
            if block.index == 2:
                stack.kill(name)
                stack.start_web("uvicorn") if name == "web" else stack.start(name)

    check_all_spoken_and_charged(stack, blocks, document)


async def test_a_killed_valkey_and_lost_notifications_only_delay_the_blocks(stack, key, document):
    blocks = []
    async with Client(stack.url, key) as client:
        async for block in client.speak(document["id"], model="tone", voice="slow"):
            blocks.append(block)
            if block.index == 2:
                stack.kill_valkey()
                stack.start_valkey()
            with stack.redis as redis:
                redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    assert [block.index for block in blocks] == list(range(COUNT))
    assert all(block.audio for block in blocks)


async def test_lost_audio_is_synthesized_again_without_a_charge(stack, key, document):
    async with Client(stack.url, key) as client:
        blocks = await blocks_of(client, document)
        check_all_spoken_and_charged(stack, blocks, document)
        again = []
        async for block in client.speak(document["id"], model="tone", voice="sine"):
            again.append(block)
            if block.index == 0:
                lose_all_audio(stack)

    assert [block.audio for block in again] == [block.audio for block in blocks]
    assert charges(stack, document) == COUNT


def lose_all_audio(stack):
    """Delete all audio from Redis and SQLite once it is stored."""
    with stack.redis as redis:
        wait_until(lambda: not redis.xlen("persist") and not redis.xlen("billing"), 30)
        redis.delete(*redis.keys("audio:*"))
    database = sqlite3.connect(stack.folder / "audio/audio.sqlite3", timeout=30)
    with database:
        database.execute("DELETE FROM payload")
        database.execute("DELETE FROM entry")
    database.close()


async def test_revoking_the_key_ends_the_session(stack, document):
    key = make_key(stack)
    async with Client(stack.url, key) as client:
        blocks = client.speak(document["id"], model="tone", voice="slow")
        assert (await anext(blocks)).audio
        stack.manage("shell", "-v0", "-c", REVOKE.format(key.split("_")[1]))

        with pytest.raises(NotAuthenticated):
            async for _ in blocks:
                pass


async def test_unknown_voices_and_documents_are_refused_with_their_codes(stack, key, document):
    async with Client(stack.url, key) as client:
        with pytest.raises(Refused) as refusal:
            await blocks_of(client, document, voice="unknown")
        assert refusal.value.code == "voice_not_found"
        with pytest.raises(Refused) as refusal:
            await client.document("00000000-0000-0000-0000-000000000000")
        assert (refusal.value.code, refusal.value.status) == ("document_not_found", 404)


async def test_a_used_up_plan_ends_the_session(stack):
    key = make_key(stack, "without-characters")
    stack.env["DEFAULT_CHARACTER_LIMIT"] = "1"
    stack.stop("web")
    stack.start_web("uvicorn")
    try:
        async with Client(stack.url, key) as client:
            document = await client.create_document("More than one character.")
            with pytest.raises(UsageLimit) as refusal:
                await anext(client.speak(document.id, model="tone", voice="sine"))
        assert refusal.value.usage.available == 1
    finally:
        del stack.env["DEFAULT_CHARACTER_LIMIT"]
        stack.stop("web")
        stack.start_web("uvicorn")


@pytest.mark.parametrize("speed", ["0", "30"])
def test_load_test_reports_its_figures(stack, key, speed):
    target = ("--url", stack.url, "--key", key, "--listeners", "3", "--blocks", "9")
    options = ("--model", "tone", "--voice", "instant", "--speed", speed, "--fetch")

    figures = json.loads(stack.manage("load_test", *target, *options, "--json"))

    assert (figures["blocks"], figures["errors"]) == (27, {})
    assert figures["cached_ms_p50"] <= figures["cached_ms_p99"]
    assert ("first_byte_ms_p50" in figures) == (speed != "0")
