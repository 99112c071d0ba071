"""A second engine is added by its own folder and one entry in the settings, and served by all of Yapit."""

import asyncio

import pytest

from tests.end_to_end.second_engine import settings as second_settings
from tests.stack import Stack
from tests.waiting import PROCESS_PATIENCE, wait_until
from tests.yapit.audio.ogg_decoding import heard, peak_db, silence_at_ends
from yapit.audio import loudness
from yapit.client import Client

pytestmark = pytest.mark.slow

VOICE = {"model": "pulse", "voice": "pulse-low"}
TEXT = "Four words and more."


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """All processes as run_stack starts them, on the servers of a test stack."""
    folder = tmp_path_factory.mktemp("stack")
    folder.chmod(0o711)
    stack = Stack.launch(folder, DJANGO_SETTINGS_MODULE=second_settings.__name__)
    stack.start("stack", "run_stack", "--state", str(folder / "state"), "--port", str(stack.port))
    wait_until(stack.is_healthy, PROCESS_PATIENCE, "the stack is not healthy")
    yield stack
    stack.stop("stack")
    stack.close()


@pytest.fixture(scope="module")
def key(stack):
    return stack.first_key


async def test_a_text_is_spoken_by_the_second_engine(stack, key):
    async with Client(stack.url, key) as client:
        spoken = await client.synthesize(TEXT, **VOICE)

    samples = heard(spoken.audio)
    assert spoken.duration_ms == pytest.approx(15 + 4 * 200 + 60, abs=3)
    assert max(silence_at_ends(samples)) < 66
    assert peak_db(samples) < -1
    assert loudness.integrated(samples, 24_000) == pytest.approx(-18, abs=1)


async def test_its_voice_is_in_the_catalog(stack, key):
    status, voices, _ = stack.get("/v1/audio/voices", Authorization=f"Bearer {key}")

    assert status == 200
    assert "pulse-low" in [voice["id"] for voice in voices["data"]]


async def test_one_worker_makes_as_many_calls_at_once_as_the_engine_takes(stack, key):
    """Each of these texts waits in the engine until all three are there."""
    async with Client(stack.url, key) as client:
        spoken = await asyncio.gather(
            *(client.synthesize(f"Together number {number}.", **VOICE) for number in range(3))
        )

    assert len({each.hash for each in spoken}) == 3
    with stack.redis as redis:
        assert list(redis.hgetall("gain:pulse:pulse-1-300")) == [b"pulse-low"]


async def test_a_document_is_spoken_block_by_block(stack, key):
    document = stack.make_document("One passage here.\n\nAnother passage there.", markdown=False)
    async with Client(stack.url, key) as client:
        blocks = [block async for block in client.speak(document["id"], **VOICE)]

    assert [block.index for block in blocks] == list(range(document["block_count"]))
    assert all(block.audio.startswith(b"OggS") for block in blocks)
    assert [(word.text, round(word.start * 1000)) for word in blocks[0].words] == [
        (word, 15 + 200 * number) for number, word in enumerate(["One", "passage", "here."])
    ]
