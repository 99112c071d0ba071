"""A stack on the second store by settings alone: storing, serving, pinning and evicting by real processes."""

import asyncio
import json

import pytest

from tests.stack import Stack
from tests.waiting import PROCESS_PATIENCE, wait_until
from yapit.client import Client

MODEL, VOICE = "tone", "sine"
OFFER = "from yapit.models import TTSModel; TTSModel.objects.filter(slug='tone').update(is_active=True)"


@pytest.fixture
def stack(tmp_path):
    tmp_path.chmod(0o711)
    stack = Stack.launch(tmp_path, DJANGO_SETTINGS_MODULE="tests.audiocache.file_store.settings")
    stack.manage("shell", "-c", OFFER)
    stack.start_all(MODEL)
    yield stack
    stack.close()


def hear(stack, document):
    """The addresses of all blocks, once they are announced."""
    return asyncio.run(_hear(stack, document["id"]))


async def _hear(stack, document_id):
    async with asyncio.timeout(PROCESS_PATIENCE), Client(stack.url, stack.first_key) as client:
        statuses = [status async for status in client.statuses(document_id, model=MODEL, voice=VOICE)]
    return sorted({status.audio_url for status in statuses if status.status == "cached"})


def forget_hot_audio(stack, addresses):
    """Remove audio from Redis, as its expiry does, once all is stored."""
    with stack.redis as redis:
        wait_until(lambda: not redis.xlen("persist") and not redis.xlen("orders"), PROCESS_PATIENCE)
        assert redis.delete(*(f"audio:{address.rpartition('/')[2]}" for address in addresses)) == len(
            addresses
        )


def test_the_whole_service_runs_on_another_store(stack, tmp_path):
    kept, other = (
        stack.make_document(f"{name} block.\n\nThe end of it: {name}.") for name in ("The first", "Another")
    )
    heard = {document["id"]: hear(stack, document) for document in (kept, other)}
    audio = {address: stack.get(address)[1] for addresses in heard.values() for address in addresses}
    assert all(body.startswith(b"OggS") for body in audio.values())
    forget_hot_audio(stack, audio)
    stack.stop("worker")

    # Served whole and in part, and announced without being synthesized again.
    for address, whole in audio.items():
        assert stack.get(address)[:2] == (200, whole)
        for value, part in (
            ("bytes=10-19", whole[10:20]),
            ("bytes=-7", whole[-7:]),
            ("bytes=50-", whole[50:]),
        ):
            status, body, headers = stack.get(address, Range=value)
            assert (status, body) == (206, part)
            assert headers["content-range"].endswith(f"/{len(whole)}")
        assert stack.get(address, Range=f"bytes={len(whole)}-")[0] == 416
        assert stack.request("HEAD", address)[0] == 200
    assert [hear(stack, document) for document in (kept, other)] == list(heard.values())

    # Pinned, counted and verified.
    warmed = stack.manage("warm_audio", "--document", kept["id"], "--voice", VOICE)
    assert f"{len(heard[kept['id']])} pinned" in warmed
    [stats, *_] = json.loads(stack.manage("audiocache_stats", "--json"))["files"]
    assert (stats["alias"], stats["entries"]) == ("audio", len(audio))
    assert stats["pinned_bytes"] == sum(len(audio[address]) for address in heard[kept["id"]])
    assert f"audio: {len(audio)} entries checked, 0 damaged" in stack.manage("check_audiocache")

    # Evicted, but for the pinned.
    stack.stop("persister")
    stack.start("persister", "run_persister", HOURS_AHEAD="1")
    stack.manage("prune_audio", "--to", "0")
    assert {stack.get(address)[0] for address in heard[other["id"]]} == {404}
    assert {stack.get(address)[0] for address in heard[kept["id"]]} == {200}

    assert list(tmp_path.rglob("*.sqlite3*")) == []
