"""Hostile frames are answered with an error code, without internals, and the connection continues."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.yapit.factories import make_document, make_model, make_user, make_voice
from tests.yapit.sockets import hostile_frames
from tests.yapit.sockets.socket_client import listener
from yapit import protocol
from yapit.accounts import identity
from yapit.catalog import resolution

LONGEST_REASON = 200
INSIDE = ("Traceback", "msgspec", "psycopg", "redis", "yapit", ".py", "Error", "x" * 100)

SLUGS = st.none() | st.text(max_size=120)
NUMBERS = st.integers() | st.integers(-(10**400), 10**400) | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ALMOST = st.fixed_dictionaries(
    {"type": st.sampled_from(["synthesize", "cursor_moved", "options"]) | VALUES},
    optional={
        "document_id": st.uuids().map(str) | VALUES,
        "block_indices": st.lists(NUMBERS | VALUES, max_size=40) | VALUES,
        "model": SLUGS | VALUES,
        "voice": SLUGS | VALUES,
        "priority": st.sampled_from(["playing", "prefetch"]) | VALUES,
        "cursor": NUMBERS | VALUES,
        "batched": st.booleans() | VALUES,
    },
)
CUT_OR_DAMAGED = st.tuples(ALMOST.map(json.dumps), st.integers(0, 400), st.text(max_size=3)).map(
    lambda part: part[0][: part[1]] + part[2] + part[0][part[1] + 1 :]
)


@settings(max_examples=200, deadline=None)
@given(ALMOST.map(json.dumps) | CUT_OR_DAMAGED | st.text() | VALUES.map(json.dumps))
def test_any_text_is_decoded_or_refused_with_a_code_and_a_short_reason(text):
    refused = None
    try:
        message = protocol.decode(text)
    except protocol.ProtocolError as error:
        refused = error

    if refused is None:
        assert isinstance(message, protocol.ClientMessage)
    else:
        assert refused.code in protocol.CODES
        assert len(str(refused)) <= LONGEST_REASON
        assert protocol.encode(protocol.Error(code=refused.code, error=str(refused)))


@pytest.mark.parametrize("text", hostile_frames.MALFORMED.values(), ids=hostile_frames.MALFORMED.keys())
def test_malformed_text_is_an_invalid_message(text):
    with pytest.raises(protocol.ProtocolError) as caught:
        protocol.decode(text)

    assert caught.value.code == "invalid_message"


@pytest.mark.parametrize(
    "text", hostile_frames.UNKNOWN_TYPES.values(), ids=hostile_frames.UNKNOWN_TYPES.keys()
)
def test_an_unsupported_message_type_is_unknown(text):
    with pytest.raises(protocol.ProtocolError) as caught:
        protocol.decode(text)

    assert caught.value.code == "unknown_type"


@pytest.mark.django_db(transaction=True)
async def test_hostile_frames_get_errors_without_internals_and_the_connection_continues(redis, own_document):
    async with listener() as client:
        for frame, code in hostile_frames.FRAMES:
            await (client.send_bytes if isinstance(frame, bytes) else client.send_text)(frame)
            answer = await client.frame()

            assert (answer["type"], answer["code"]) == ("error", code), frame[:100]
            assert len(answer["error"]) <= LONGEST_REASON
            assert not any(word in answer["error"] for word in INSIDE)

        await client.ask(own_document, 0)
        served = await client.frame()

    assert (served["status"], served["seq"]) == ("queued", len(hostile_frames.FRAMES) + 1)


@pytest.fixture
def own_document(redis, settings):
    settings.DEFAULT_MODEL = "tone"
    settings.MESSAGES_BURST = 1000
    resolution.forget()
    identity.forget()
    make_voice("sine", model=make_model("tone"))
    return make_document(make_user("local"), "One.")
