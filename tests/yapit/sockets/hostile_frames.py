"""Hostile frames, each with the code of the error that answers it."""

import json

DOCUMENT = "00000000-0000-4000-8000-000000000001"


def message(**fields):
    return json.dumps(fields)


def synthesize(**fields):
    return message(**{"type": "synthesize", "document_id": DOCUMENT, "block_indices": [0], **fields})


def synthesize_with(index):
    """The index is a raw JSON number, which json.dumps might not write."""
    return '{"type": "synthesize", "document_id": "%s", "block_indices": [%s]}' % (DOCUMENT, index)  # noqa: UP031


# --- Not messages ----------------------------------------------------------------------------------------

MALFORMED = {
    "nothing": "",
    "a byte order mark": "\ufeff{}",
    "no JSON": "{",
    "a NUL": "\x00",
    "more after the end": '{"type": "options"} {}',
    "an array": "[]",
    "an array of messages": f"[{message(type='options')}]",
    "a string": '"options"',
    "a number": "7",
    "a number out of all range": "1e400",
    "no number": "NaN",
    "deep arrays": "[" * 30_000,
    "deep objects": '{"a":' * 10_000,
    "deep in a field that is ignored": '{"type": "options", "x": ' + "[" * 10_000 + "]" * 10_000 + "}",
    "half a surrogate pair": '{"type": "options", "x": "\\ud800"}',
    "half a surrogate pair as a name": '{"type": "options", "\\udfff": 1}',
    "a control character": '{"type": "options", "x": "\x01"}',
    "no type": "{}",
    "no document": message(type="synthesize", block_indices=[0]),
    "no indices": message(type="synthesize", document_id=DOCUMENT),
    "a document that is no id": synthesize(document_id="../../etc/passwd"),
    "a document with a NUL": synthesize(document_id=DOCUMENT[:-1] + "\x00"),
    "a document that is an object": synthesize(document_id={}),
    "indices that are an object": synthesize(block_indices={"0": 0}),
    "an index that is a text": synthesize(block_indices=["0"]),
    "an index that is a truth": synthesize(block_indices=[True]),
    "an index between two": synthesize(block_indices=[0.5]),
    "an index of nothing": synthesize(block_indices=[None]),
    "an index without end": synthesize_with("1e400"),
    "an index of 5,000 digits": synthesize_with("9" * 5_000),
    "a cursor without end": message(type="cursor_moved", document_id=DOCUMENT, cursor=1)[:-2] + "1e400}",
    "a priority that is none": synthesize(priority="first"),
    "a very long priority": synthesize(priority="x" * 60_000),
    "a model that is an array": synthesize(model=["tone"]),
    "an empty model": synthesize(model=""),
    "a very long voice": synthesize(voice="x" * 60_000),
    "an option that is a number": message(type="options", batched=1),
}
UNKNOWN_TYPES = {
    "another type": message(type="dance"),
    "a very long type": message(type="x" * 60_000),
    "a type that is an array": message(type=["synthesize"]),
    "a type that is nothing": message(type=None),
    "a type of ours": message(type="status", block_idx=0),
    "two types": '{"type": "synthesize", "type": "dance"}',
}
# --- Messages about unknown objects ----------------------------------------------------------------------

UNKNOWN_NAMES = {
    "a model with a NUL": (synthesize(model="to\x00ne"), "model_not_found"),
    "a voice with a NUL": (synthesize(voice="si\x00ne"), "voice_not_found"),
    "a model in another script": (synthesize(model="\U0001f984" * 100), "model_not_found"),
    "a voice with a quote": (synthesize(voice="' OR 1=1 --"), "voice_not_found"),
    "an unknown document": (synthesize(), "document_not_found"),
    "too many indices": (synthesize(block_indices=[0] * 33), "too_many_blocks"),
    "odd indices of an unknown document": (
        synthesize_with("-1, 99999999999999999999, -99999999999999999999, 0, 0"),
        "document_not_found",
    ),
}

FRAMES = (
    [(text, "invalid_message") for text in MALFORMED.values()]
    + [(text, "unknown_type") for text in UNKNOWN_TYPES.values()]
    + [*UNKNOWN_NAMES.values()]
    + [(b"", "binary_frame"), (b"\x00\xff" * 1000, "binary_frame"), (synthesize().encode(), "binary_frame")]
)

# --- The events socket -----------------------------------------------------------------------------------


def watch(**fields):
    return message(**{"type": "watch", "document_ids": [DOCUMENT], **fields})


EVENTS_FRAMES = (
    [(text, "invalid_message") for text in ("", "{", "\x00", "[]", "7", "1e400", "NaN", "[" * 30_000, "{}")]
    + [
        (watch(**fields), "invalid_message")
        for fields in (
            {"document_ids": None},
            {"document_ids": DOCUMENT},
            {"document_ids": {"0": DOCUMENT}},
            {"document_ids": [7]},
            {"document_ids": ["../../etc/passwd"]},
            {"document_ids": [DOCUMENT[:-1] + "\x00"]},
            {"document_ids": ["x" * 60_000]},
        )
    ]
    + [(message(type="unwatch"), "invalid_message"), (message(type="watch"), "invalid_message")]
    + [(text, "unknown_type") for text in UNKNOWN_TYPES.values()]
    + [(synthesize(), "unknown_type"), (message(type="changed", subject="balance"), "unknown_type")]
    + [(watch(document_ids=[DOCUMENT] * 1500), "too_many_watched")]
    + [(watch(), "document_not_found")]
    + [(b"", "binary_frame"), (b"\x00\xff" * 1000, "binary_frame"), (watch().encode(), "binary_frame")]
)
