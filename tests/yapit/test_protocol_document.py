"""docs/protocol.md: every message, field, code, close code and limit in its place, and no unknown codes."""

import ast
import inspect
import re
from pathlib import Path

import msgspec
import pytest
from django.conf import settings

from config import asgi
from yapit import errors, protocol
from yapit.api.http import error_body
from yapit.api.http.errors import SPEECH_STATUS
from yapit.documents import MAX_CONTENT
from yapit.engines import MAX_CHARACTERS
from yapit.sockets import authenticated_socket, outbox

PROJECT = Path(__file__).parents[2]
SOURCES = PROJECT / "yapit"
DOCS = (PROJECT / "docs" / "protocol.md").read_text()
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def section(docs, title, level="##"):
    """The text from a heading to the next one of the same or a higher level."""
    body = re.split(rf"^{level} {re.escape(title)}\n", docs, maxsplit=1, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", body[0], maxsplit=1, flags=re.MULTILINE)[0] if body else ""


def first_cells(text):
    return re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)


def quoted(text):
    return set(re.findall(r"`([^`]+)`", FENCED.sub("", text)))


# --- In the code -------------------------------------------------------------------------------------------

MESSAGES = [
    *protocol.ClientMessage.__args__,
    *protocol.EventsClientMessage.__args__,
    *protocol.AnyServerMessage.__args__,
]
SUBJECTS = set(protocol.Subject.__args__)
# Position of the code among the arguments of the exception or function.
POSITIONS = {"ProtocolError": 0, "EngineError": 1, "_error": 1, "_unavailable": 1} | {
    name: 0
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and "code" in inspect.signature(kind.__init__).parameters
}
CLIENT = SOURCES / "client"


def codes_of_http():
    tables = (error_body.CODES.values(), SPEECH_STATUS, authenticated_socket.REFUSED)
    return {code for table in tables for code in table}


def codes_in_sources():
    paths = [path for path in SOURCES.rglob("*.py") if CLIENT not in path.parents]
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    return {code for node in nodes for code in codes_at(node)}


def codes_at(node):
    """Class attributes and keyword arguments named `code`, and positional arguments that are one."""
    match node:
        case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
            yield code
        case ast.keyword(arg="code", value=ast.Constant(value=str(code))):
            yield code
        case ast.Call(func=ast.Name(id=name), args=args) if len(args) > POSITIONS.get(name, 99):
            if isinstance(args[POSITIONS[name]], ast.Constant):
                yield args[POSITIONS[name]].value


def codes_in_scripts():
    scripts = "".join(path.read_text() for path in SOURCES.rglob("*.lua"))
    return set(re.findall(r"refused\('(\w+)'", scripts)) - {"unread"}  # internal: answered by another reading


BASE_CLASS = {"error"}  # never raised itself
CODES = {*codes_of_http(), *codes_in_sources(), *codes_in_scripts()} - BASE_CLASS
CLOSE_CODES = {
    value
    for module in (authenticated_socket, asgi)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, int) and 1000 < value < 5000
}
LIMITS = (
    protocol.MAX_FRAME_BYTES // 1024,
    protocol.MAX_INDICES,
    protocol.MAX_WATCHED,
    settings.BLOCKS_PER_MINUTE,
    settings.MESSAGES_PER_SECOND,
    settings.MESSAGES_BURST,
    settings.CONNECTIONS_PER_USER,
    settings.DOCUMENTS_PER_USER,
    settings.WAITING_JOBS_LIMIT,
    outbox.LIMIT,
    MAX_CONTENT,
    MAX_CHARACTERS,
)


# --- In the document ---------------------------------------------------------------------------------------


def missing_fields(docs, message):
    tag = message.__struct_config__.tag
    text = section(docs, f"`{tag}`", "###")
    documented = quoted(text) | set(re.findall(r'"(\w+)":', text))  # the latter in an example
    return {f"{tag}.{field.name}" for field in msgspec.structs.fields(message)} - {
        f"{tag}.{name}" for name in documented | quoted(intro(docs))
    }


def intro(docs):
    """The fields that all frames of the server have."""
    return section(docs, "Server messages").partition("\n### ")[0]


def codes_of_socket(docs):
    return {
        code for cell in first_cells(section(docs, "Codes").partition("\n### ")[0]) for code in quoted(cell)
    }


def codes_anywhere(docs):
    tables = section(docs, "Codes") + section(docs, "Synthesis in one request")
    return {code for line in tables.splitlines() if line.startswith("| ") for code in quoted(line)}


def missing(docs):
    usage = {field.name for field in msgspec.structs.fields(protocol.Usage)}
    shape = re.search(r'"error": \{([^}]*)\}', section(docs, "HTTP error codes", "###"))
    return (
        {name for message in MESSAGES for name in missing_fields(docs, message)}
        | protocol.CODES.keys() - codes_of_socket(docs)
        | CODES - codes_anywhere(docs)
        | {str(code) for code in CLOSE_CODES} - set(first_cells(section(docs, "Connecting")))
        | set(error_body.TYPES.values()) - quoted(section(docs, "HTTP error codes", "###"))
        | SUBJECTS - quoted(section(docs, "`changed`", "###"))
        | set(asgi.sockets) - quoted(docs)
        | usage - quoted(section(docs, "`status`", "###"))
        | error_body.body(400, "")["error"].keys() - set(re.findall(r'"(\w+)"', shape[1] if shape else ""))
        | {f"{n:,.0f}" for n in LIMITS} - set(re.findall(r"\b[\d,]*\d\b", section(docs, "Limits")))
    )


def test_the_document_is_complete():
    assert missing(DOCS) == set()


def test_every_documented_code_exists():
    assert codes_of_socket(DOCS) <= protocol.CODES.keys()


@pytest.mark.parametrize(
    ("removed", "name"),
    [
        ("`retry_after` in seconds", "error.retry_after"),
        ("`code`, `error` (a sentence)", "error.code"),
        ("### `evicted`", "evicted.block_indices"),
        ("| `document_id`, `block_idx` |", "status.block_idx"),
        ("| `engine_hung` |", "engine_hung"),
        ("`invalid_ticket`", "invalid_ticket"),
        ("| 4429 |", "4429"),
        ("`requested`", "requested"),
        ('"param", ', "param"),
        ("20 a second, 100 at once", "100"),
        ("and `seq`", "status.seq"),
        ("| `balance` |", "balance"),
        ("### `document_gone`", "document_gone.document_id"),
        ("| `too_many_watched` |", "too_many_watched"),
        ("| documents watched by one connection | 200 |", "200"),
    ],
)
def test_a_removed_part_is_reported_missing(removed, name):
    """The control: each part is reported when it is removed from its place, even if it is named elsewhere."""
    assert removed in DOCS

    assert name in missing(DOCS.replace(removed, ""))


@pytest.mark.parametrize(
    "code", ["audio_gone", "invalid_ticket", "text_too_long", "busy", "login_needed", "local_account"]
)
def test_codes_are_found_in_every_kind_of_place(code):
    """The control: each of these codes is defined in another way."""
    assert code in CODES


def test_codes_of_engines_and_scripts_have_a_sentence_for_listeners():
    codes_of_engines = {
        code
        for path in (SOURCES / "engines").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for code in codes_at(node)
    }

    assert codes_of_engines | codes_in_scripts() <= protocol.CODES.keys()


@pytest.mark.parametrize("title", ["A request", "Seeking", "Reconnecting", "Refusals", "Events"])
def test_each_example_is_a_sequence_diagram(title):
    examples = section(DOCS, "Examples")

    after = examples.partition(f"\n{title}")[2]

    assert re.match(r"[^`]*```mermaid\nsequenceDiagram\n(    .+\n)+```", after)
