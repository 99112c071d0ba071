"""The main path with all processes: a document in, Ogg files out, each block synthesized and charged once."""

import json
import re

import psycopg
import pytest

from tests.end_to_end.document_listener import decode, statuses_of, terminal_statuses
from tests.stack import Stack
from tests.waiting import PROCESS_PATIENCE, wait_until

PLAIN = """It is a truth seldom acknowledged that a short test is a good test. This one has a few sentences, \
Dr. Weber said, and costs $9.99 at 7:30 pm.

The second paragraph is about nothing in particular. It goes on for a while, so that it is not one \
block with the first, and then it stops.

...

The last paragraph follows one without words."""
ROUNDING_MS = 1
HASH_URL = re.compile(r"/v1/audio/[0-9a-f]{64}")


@pytest.fixture
def stack(tmp_path):
    tmp_path.chmod(0o711)
    stack = Stack.launch(tmp_path)
    stack.start_all(model="hibari")
    yield stack
    stack.close()


def is_all_stored(stack):
    with stack.redis as redis:
        return not any(redis.xlen(stream) for stream in ("results", "billing", "persist"))


def charged(stack):
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        counts = "SELECT count(*), count(DISTINCT event_id) FROM billing_ledgerentry"
        return connection.execute(counts).fetchone()


def check_audio(stack, ended):
    """Every cached block can be fetched and decoded, and has the stated duration."""
    for frame in ended.values():
        if frame["status"] == "skipped":
            assert (frame["code"], frame["audio_url"]) == ("nothing_to_speak", None)
            continue
        assert frame["status"] == "cached", frame
        assert HASH_URL.fullmatch(frame["audio_url"])
        status, audio, headers = stack.get(frame["audio_url"])
        assert (status, headers["content-type"]) == (200, "audio/ogg")
        decoded = decode(audio)
        assert decoded.duration_ms == pytest.approx(frame["duration_ms"], abs=ROUNDING_MS)
        assert decoded.peak > 0.01
        words = json.loads(frame["word_timestamps"])
        assert words
        assert all(0 <= word["s"] <= word["e"] <= frame["duration_ms"] / 1000 + 0.001 for word in words)


def summary(ended):
    parts = ("status", "audio_url", "duration_ms")
    return {index: tuple(frame[part] for part in parts) for index, frame in ended.items()}


def check_document(stack, document):
    """Synthesize it, then read it without a worker: from Redis, after a restart of all, and from SQLite."""
    ended = terminal_statuses(statuses_of(stack, document))
    assert len(ended) == document["block_count"]
    check_audio(stack, ended)
    wait_until(lambda: is_all_stored(stack), PROCESS_PATIENCE)
    spoken = {frame["audio_url"] for frame in ended.values() if frame["status"] == "cached"}
    assert charged(stack) == (len(spoken), len(spoken))

    stack.stop("worker")
    check_again(stack, document, ended)

    stack.stop_all()
    stack.valkey_process.terminate()
    stack.valkey_process.wait()
    stack.start_valkey()
    stack.start_cold()
    stack.start_web()
    check_again(stack, document, ended)

    with stack.redis as redis:
        redis.delete(*redis.keys("audio:*"))
    check_again(stack, document, ended)
    check_audio(stack, ended)
    assert charged(stack) == (len(spoken), len(spoken))


def check_again(stack, document, ended):
    statuses = statuses_of(stack, document)
    assert summary(terminal_statuses(statuses)) == summary(ended)
    assert all(status["status"] != "queued" for status in statuses)


def test_a_plain_text_is_synthesized_once(stack):
    document = stack.make_document(PLAIN, markdown=False)
    assert document["block_count"] >= 3

    check_document(stack, document)


@pytest.mark.slow
def test_the_welcome_document_is_synthesized_once(stack):
    [document] = stack.get("/v1/documents")[1]["data"]
    assert document["block_count"] >= 100

    check_document(stack, document)
