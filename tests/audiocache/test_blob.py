"""Blobs: round trips, and detection of damage."""

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocache.blob import (
    MAX_HEADER_BYTES,
    BadBlob,
    Header,
    header_bytes,
    header_for,
    header_of,
    pack,
    split,
    verify,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNT = st.integers(0, 2**40)
WORDS = st.lists(st.tuples(TEXT, COUNT, COUNT), max_size=5)


@st.composite
def blobs(draw):
    audio = draw(st.binary(max_size=200))
    header = header_for(audio, duration_ms=draw(COUNT), media_type=draw(TEXT), words=draw(WORDS))
    return header, audio


def is_whole(blob):
    try:
        header, audio = split(blob)
    except BadBlob:
        return False
    return verify(header, audio)


@given(blobs())
def test_split_reverses_pack(sample):
    header, audio = sample

    found, found_audio = split(pack(header, audio))

    assert found == header
    assert found_audio == audio
    assert verify(found, found_audio)


@given(blobs())
def test_a_blob_is_its_meta_followed_by_its_audio(sample):
    header, audio = sample
    meta = header_bytes(header)

    assert meta + audio == pack(header, audio)
    assert header_of(meta) == header_of(meta + audio[:3]) == header


@given(blobs(), st.data())
def test_a_truncated_blob_is_detected(sample, data):
    blob = pack(*sample)

    assert not is_whole(blob[: data.draw(st.integers(0, len(blob) - 1))])


@given(blobs(), st.data())
def test_a_flipped_byte_is_detected_at_every_position(sample, data):
    blob = bytearray(pack(*sample))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))

    assert not is_whole(bytes(blob))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(junk):
    with pytest.raises(BadBlob):
        split(junk)


@given(
    st.recursive(st.none() | COUNT | TEXT | st.binary(max_size=40), lambda inner: st.lists(inner, max_size=6))
)
def test_a_valid_frame_with_other_content_is_refused(content):
    body = msgspec.msgpack.encode(content)

    with pytest.raises(BadBlob):
        header_of(frame(body))


def test_invalid_utf_8_is_refused():
    body = header_bytes(header_for(b"", duration_ms=0, media_type="abcd"))[4:-4]

    with pytest.raises(BadBlob):
        header_of(frame(body.replace(b"abcd", b"\xff\xfe\xfd\xfc")))


def test_a_header_with_another_length_is_not_packed():
    header = header_for(b"audio", duration_ms=1, media_type="audio/ogg")

    with pytest.raises(BadBlob):
        pack(header, b"audio and more")


def test_an_overlong_header_is_not_packed():
    header = header_for(b"", duration_ms=1, media_type="x" * MAX_HEADER_BYTES)

    with pytest.raises(BadBlob):
        header_bytes(header)


def test_additional_fields_are_ignored():
    header = Header(1, "audio/ogg", bytes(32), 0)
    body = msgspec.msgpack.encode([*msgspec.structs.astuple(header), "from the future"])

    assert header_of(frame(body)) == header


def frame(body):
    return (len(body) + 4).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)
