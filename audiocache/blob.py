"""One stored value: a small header in front of the finished audio. Pure; imports no Django.

    4 bytes   length of what follows up to the audio, big-endian
    n bytes   msgpack array of the Header's fields, then their CRC-32, big-endian
    the rest  the audio

The same front part stands alone as `meta` beside the audio in SQLite: blob == meta + audio. Its own CRC is
there because the audio's checksum does not cover it: a flipped bit in a duration would go unnoticed.
"""

import hashlib
import zlib
from collections.abc import Iterable
from typing import Annotated, TypeVar

import msgspec

LENGTH_BYTES = 4
CRC_BYTES = 4
MAX_HEADER_BYTES = 256 * 1024  # word timings of a block take 5 KB; more is not one of ours

Count = Annotated[int, msgspec.Meta(ge=0)]
Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class BadBlob(ValueError):  # named after what is the matter
    """These bytes are not a whole header with its audio: treat the value as absent."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """What a player needs to know besides the audio. Fields may be added at the end, with defaults."""

    duration_ms: Count
    media_type: str
    sha256: Digest  # of the audio
    length: Count  # of the audio, bytes
    words: tuple[tuple[str, Count, Count], ...] = ()  # text, start and end in ms


class Front(msgspec.Struct, frozen=True, array_like=True):
    """The first fields of a Header: all that it takes to send the audio. The words are passed over."""

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
    """The front part of a blob: `meta` in SQLite."""
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
    """The header at the beginning of a blob; what follows it may be missing."""
    return _parse(memoryview(prefix), _decoder)[0]


def front_of(prefix: bytes | memoryview) -> Front:
    """The same, for whoever does not want the words."""
    return _parse(memoryview(prefix), _front_decoder)[0]


def split(blob: bytes | memoryview) -> tuple[Header, memoryview]:
    """Header and audio (a view, not a copy). The audio's checksum is not looked at: see verify."""
    return _split(memoryview(blob), _decoder)


def split_front(blob: bytes | memoryview) -> tuple[Front, memoryview]:
    """The same, for whoever does not want the words."""
    return _split(memoryview(blob), _front_decoder)


def _split(view: memoryview, decoder: "msgspec.msgpack.Decoder[AnyHeader]") -> tuple[AnyHeader, memoryview]:
    header, end = _parse(view, decoder)
    audio = view[end:]
    if len(audio) != header.length:
        raise BadBlob("the audio is not as long as its header says")
    return header, audio


def verify(header: Header, audio: bytes | memoryview) -> bool:
    return len(audio) == header.length and hashlib.sha256(audio).digest() == header.sha256


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
