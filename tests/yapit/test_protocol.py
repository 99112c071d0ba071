"""Messages of the WebSocket protocol: decoding and encoding."""

import json
from uuid import UUID

from yapit import protocol

DOCUMENT = UUID("00000000-0000-0000-0000-000000000001")


def test_missing_fields_of_a_message_have_defaults():
    message = protocol.decode(
        json.dumps({"type": "synthesize", "document_id": str(DOCUMENT), "block_indices": [3]})
    )

    assert message == protocol.Synthesize(DOCUMENT, [3], None, None, "prefetch")


def test_unknown_fields_are_ignored():
    message = protocol.decode(
        json.dumps({"type": "cursor_moved", "document_id": str(DOCUMENT), "cursor": 4, "more": [1]})
    )

    assert message == protocol.CursorMoved(DOCUMENT, 4)


def test_absent_fields_are_sent_as_null():
    frame = json.loads(protocol.encode(protocol.Status(document_id=DOCUMENT, block_idx=0, status="queued")))

    assert frame["audio_url"] is None
    assert {"seq", "error", "recoverable", "word_timestamps", "duration_ms", "model_slug"} <= frame.keys()


def test_word_timestamps_are_json_with_seconds():
    assert json.loads(protocol.word_timestamps((("Hi", 0, 250),))) == [{"t": "Hi", "s": 0.0, "e": 0.25}]
    assert protocol.word_timestamps(()) is None
