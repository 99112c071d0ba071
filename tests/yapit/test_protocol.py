"""Frames in and out, and that the document about them is complete."""

import json
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from yapit import consumers, protocol

DOCUMENT = UUID("00000000-0000-0000-0000-000000000001")
DOCS = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def test_a_message_is_read_with_its_defaults():
    message = protocol.decode(
        json.dumps({"type": "synthesize", "document_id": str(DOCUMENT), "block_indices": [3]})
    )

    assert message == protocol.Synthesize(DOCUMENT, [3], None, None, "prefetch")


def test_unknown_fields_are_ignored():
    message = protocol.decode(
        json.dumps({"type": "cursor_moved", "document_id": str(DOCUMENT), "cursor": 4, "more": [1]})
    )

    assert message == protocol.CursorMoved(DOCUMENT, 4)


def test_every_absent_field_is_sent_as_null():
    frame = json.loads(protocol.encode(protocol.Status(document_id=DOCUMENT, block_idx=0, status="queued")))

    assert frame["audio_url"] is None
    assert {"seq", "error", "recoverable", "word_timestamps", "duration_ms", "model_slug"} <= frame.keys()


def test_word_timestamps_are_a_text_with_seconds():
    assert json.loads(protocol.word_timestamps((("Hi", 0, 250),))) == [{"t": "Hi", "s": 0.0, "e": 0.25}]
    assert protocol.word_timestamps(()) is None


@pytest.mark.parametrize("message", [*protocol.ClientMessage.__args__, *protocol.ServerMessage.__args__])
def test_every_message_and_field_is_documented(message):
    assert f"### `{message.__struct_config__.tag}`" in DOCS
    for field in msgspec.structs.fields(message):
        assert f"`{field.name}`" in DOCS


@pytest.mark.parametrize("code", protocol.CODES)
def test_every_code_is_documented(code):
    assert f"`{code}`" in DOCS


@pytest.mark.parametrize(
    "name", ["NOT_AUTHENTICATED", "ORIGIN_REFUSED", "CANNOT_CHECK", "TOO_SLOW", "TOO_MANY", "DRAINING"]
)
def test_every_close_code_is_documented(name):
    assert f"| {getattr(consumers, name)} |" in DOCS


@pytest.mark.parametrize("field", [field.name for field in msgspec.structs.fields(protocol.Usage)])
def test_the_usage_of_a_refusal_is_documented(field):
    assert f"`{field}`" in DOCS
