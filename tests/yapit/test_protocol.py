"""Frames in and out, and that the document about them, and about errors, is complete."""

import ast
import inspect
import json
import re
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from django.conf import settings

from config import asgi
from yapit import consumers, error_body, errors, protocol
from yapit.api.errors import SPEECH_STATUS

DOCUMENT = UUID("00000000-0000-0000-0000-000000000001")
PROJECT = Path(__file__).parents[2]
SOURCES = PROJECT / "yapit"
DOCS = (PROJECT / "docs" / "protocol.md").read_text()
LIMITS = DOCS.partition("## Limits")[2].partition("\n## ")[0]


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


# --- Codes: those of the socket, and whatever else the sources name ----------------------------------------

# Where the code stands among the arguments of what raises or sends it.
NAMED = {"ProtocolError": 0, "EngineError": 1, "_error": 1, "_unavailable": 1} | {
    name: 0
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and "code" in inspect.signature(kind.__init__).parameters
}
OF_THE_CLIENT_ITSELF = SOURCES / "client"


def codes_of_http():
    tables = (error_body.CODES.values(), error_body.TYPES.values(), SPEECH_STATUS, consumers.REFUSED)
    return {code for table in tables for code in table}


def codes_in_sources():
    paths = [path for path in SOURCES.rglob("*.py") if OF_THE_CLIENT_ITSELF not in path.parents]
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    return {code for node in nodes for code in codes_at(node)}


def codes_at(node):
    """Class attributes named `code`, arguments named so, and those that stand where a code stands."""
    match node:
        case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
            yield code
        case ast.keyword(arg="code", value=ast.Constant(value=str(code))):
            yield code
        case ast.Call(func=ast.Name(id=name), args=args) if len(args) > NAMED.get(name, 99):
            if isinstance(args[NAMED[name]], ast.Constant):
                yield args[NAMED[name]].value


def codes_in_scripts():
    scripts = "".join(path.read_text() for path in SOURCES.rglob("*.lua"))
    return set(re.findall(r"refused\('(\w+)'", scripts)) - {"unread"}  # which is for ourselves


CODES = sorted({*protocol.CODES, *codes_of_http(), *codes_in_sources(), *codes_in_scripts()})


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_documented(code):
    assert f"`{code}`" in DOCS


@pytest.mark.parametrize(
    "code", ["audio_gone", "invalid_ticket", "encoding_failed", "busy", "login_needed", "local_account"]
)
def test_codes_are_found_wherever_they_are_named(code):
    """Shows that the test above has something to find: each of these stands in another kind of place."""
    assert code in CODES


def test_what_engines_and_scripts_refuse_has_a_sentence_for_listeners():
    of_engines = {
        code
        for path in (SOURCES / "engines").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for code in codes_at(node)
    }

    assert of_engines | codes_in_scripts() <= protocol.CODES.keys()


CLOSE_CODES = {
    name: value
    for module in (consumers, asgi)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, int) and 1000 < value < 5000
}


@pytest.mark.parametrize("name", CLOSE_CODES)
def test_every_close_code_is_documented(name):
    assert f"| {CLOSE_CODES[name]} |" in DOCS


@pytest.mark.parametrize("field", [field.name for field in msgspec.structs.fields(protocol.Usage)])
def test_the_usage_of_a_refusal_is_documented(field):
    assert f"`{field}`" in DOCS


@pytest.mark.parametrize("field", error_body.body(400, "")["error"])
def test_the_shape_of_an_error_over_http_is_documented(field):
    assert re.search(rf'"error": \{{[^}}]*"{field}"', DOCS)


@pytest.mark.parametrize(
    "limit",
    [
        protocol.MAX_FRAME_BYTES // 1024,
        protocol.MAX_INDICES,
        settings.BLOCKS_PER_MINUTE,
        settings.MESSAGES_PER_SECOND,
        settings.MESSAGES_BURST,
        settings.CONNECTIONS_PER_USER,
        settings.DOCUMENTS_PER_CONNECTION,
        settings.WAITING_JOBS_LIMIT,
        consumers.OUTBOX,
    ],
)
def test_every_limit_is_documented(limit):
    assert re.search(rf"\b{limit:,.0f}\b", LIMITS)
