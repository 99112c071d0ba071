"""Blobs: a small header followed by the audio, in Redis and in audio stores. Pure; imports no Django.

    4 bytes   length of what follows up to the audio, big-endian
    n bytes   msgpack array of the Header's fields, then their CRC-32, big-endian
    the rest  the audio

A store keeps the part before the audio apart, as `meta`: blob == meta + audio. The header has its own
CRC because the checksum of the audio does not cover it: a flipped bit in a duration would go unnoticed.
"""

import hashlib
import zlib
from collections.abc import Iterable
from typing import Annotated, TypeVar

import msgspec

LENGTH_BYTES = 4
CRC_BYTES = 4
MAX_HEADER_BYTES = 256 * 1024  # word timings of a block take 5 KB; a longer header is malformed

Count = Annotated[int, msgspec.Meta(ge=0)]
Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class BadBlob(ValueError):
    """The bytes are not a complete header with its audio. Callers treat the value as absent."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """Metadata of one audio for players. Fields may be added at the end, with defaults."""

    duration_ms: Count
    media_type: str
    sha256: Digest  # of the audio
    length: Count  # of the audio, bytes
    words: tuple[tuple[str, Count, Count], ...] = ()  # text, start and end in ms


class Front(msgspec.Struct, frozen=True, array_like=True):
    """The first fields of a Header, enough to send the audio. Decoding it skips the words."""

    duration_ms: Count
    media_type: str
    sha256: Digest
    length: Count


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Header)
_front_decoder = msgspec.msgpack.Decoder(Front)
AnyHeader = TypeVar("AnyHeader", Header, Front)


def header_for(
    audio: bytes, *, duration_ms: int, media_type: str, words: Iterable[tuple[str, int, int]] = ()
) -> Header:
    return Header(duration_ms, media_type, hashlib.sha256(audio).digest(), len(audio), tuple(words))


def header_bytes(header: Header) -> bytes:
    """The part of a blob before the audio: `meta` in stores."""
    body = _encoder.encode(header)
    size = len(body) + CRC_BYTES
    if size > MAX_HEADER_BYTES:
        raise BadBlob("the header is too long")
    return b"".join((size.to_bytes(LENGTH_BYTES), body, zlib.crc32(body).to_bytes(CRC_BYTES)))


def pack(header: Header, audio: bytes) -> bytes:
    if header.length != len(audio):
        raise BadBlob("the header speaks of another length")
    return header_bytes(header) + audio


def header_of(prefix: bytes | memoryview) -> Header:
    """The header at the beginning of a blob. The audio may be missing or incomplete."""
    return _parse(memoryview(prefix), _decoder)[0]


def front_of(prefix: bytes | memoryview) -> Front:
    """Like header_of, without the words."""
    return _parse(memoryview(prefix), _front_decoder)[0]


def split(blob: bytes | memoryview) -> tuple[Header, memoryview]:
    """Header and audio (a view, not a copy). Does not verify the checksum of the audio: see verify."""
    return _split(memoryview(blob), _decoder)


def split_front(blob: bytes | memoryview) -> tuple[Front, memoryview]:
    """Like split, without the words."""
    return _split(memoryview(blob), _front_decoder)


def _split(view: memoryview, decoder: "msgspec.msgpack.Decoder[AnyHeader]") -> tuple[AnyHeader, memoryview]:
    header, end = _parse(view, decoder)
    audio = view[end:]
    if len(audio) != header.length:
        raise BadBlob("the audio is not as long as its header says")
    return header, audio


def verify(header: Header, audio: bytes | memoryview) -> bool:
    """Whether the audio has the length and the checksum of its header."""
    return len(audio) == header.length and hashlib.sha256(audio).digest() == header.sha256


def header_fits(meta: bytes, sha256: bytes) -> bool:
    """Whether a header is undamaged and belongs to the audio with this checksum."""
    try:
        return front_of(meta).sha256 == sha256
    except BadBlob:
        return False


def is_whole(meta: bytes, sha256: bytes, audio: bytes | None) -> bool:
    """Whether header and audio are both present and undamaged."""
    return audio is not None and header_fits(meta, sha256) and hashlib.sha256(audio).digest() == sha256


def _parse(view: memoryview, decoder: "msgspec.msgpack.Decoder[AnyHeader]") -> tuple[AnyHeader, int]:
    end = LENGTH_BYTES + int.from_bytes(view[:LENGTH_BYTES])
    if not LENGTH_BYTES + CRC_BYTES < end <= min(len(view), LENGTH_BYTES + MAX_HEADER_BYTES):
        raise BadBlob("the header is not all there")
    body = view[LENGTH_BYTES : end - CRC_BYTES]
    if zlib.crc32(body) != int.from_bytes(view[end - CRC_BYTES : end]):
        raise BadBlob("the header is damaged")
    try:
        return decoder.decode(body), end
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BadBlob("the header is not one of ours") from exc
