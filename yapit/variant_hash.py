"""Variant hash: the identity of audio, a SHA-256 of everything that affects it. Pure.

Each part is prefixed with its length, so different inputs have different encodings. Numbers are equal by
value, since JSON and msgpack may turn 1 into 1.0; a number, a text and a boolean always differ.
"""

import hashlib
import math
import unicodedata
from collections.abc import Mapping, Sequence

FORMAT = b"yapit variant 1"  # part of the hash: a new canonical form must not collide with this one


def variant_hash(
    text: str, *, model: str, voice: str, parameters: Mapping[str, object], revision: str, codec: str
) -> str:
    """64 lower-case hex digits. Raises ValueError for a parameter that has no canonical form."""
    parts = (
        FORMAT,
        unicodedata.normalize("NFC", text).encode(),
        model.encode(),
        voice.encode(),
        _canonical(parameters),
        revision.encode(),
        codec.encode(),
    )
    return hashlib.sha256(b"".join(map(_framed, parts))).hexdigest()


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part


def _canonical(value: object) -> bytes:
    match value:
        case None:
            return b"null"
        case bool():
            return b"true" if value else b"false"
        case int() | float():
            return b"n" + _number(value)
        case str():
            return b"s" + value.encode()
        case Mapping():
            return b"m" + b"".join(map(_framed, _pairs(value)))
        case Sequence() if not isinstance(value, bytes | bytearray):
            return b"l" + b"".join(_framed(_canonical(item)) for item in value)
    raise ValueError(f"a voice parameter cannot be a {type(value).__name__}")


def _number(value: int | float) -> bytes:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a voice parameter must be a finite number")
    if value == int(value):
        return str(int(value)).encode()
    return repr(value).encode()


def _pairs(parameters: Mapping[object, object]) -> list[bytes]:
    pairs = []
    for name in sorted(parameters, key=str):
        if not isinstance(name, str):
            raise ValueError("a voice parameter needs a text as its name")
        pairs += [name.encode(), _canonical(parameters[name])]
    return pairs
