"""What anybody may ask of the one process that writes audio files: entries of the stream `orders`.

The functions take a client or a pipeline; with an asynchronous client what they return is awaited.
"""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from config.streams import Fields, UnreadableEntry

ORDERS_STREAM = "orders"
HASHES = re.compile(rb"([0-9a-f]{64}(,[0-9a-f]{64})*)?")


class Kind(StrEnum):
    TOUCH = "touch"
    DELETE = "delete"
    PIN = "pin"
    UNPIN = "unpin"
    VERIFY = "verify"  # delete what proves wrong: unlike DELETE it cannot hit the copy that has mended it

    @property
    def removes(self) -> bool:
        return self in (Kind.DELETE, Kind.VERIFY)


@dataclass(frozen=True, slots=True)
class Order:
    """One kind of change to some entries of one alias."""

    alias: str
    kind: Kind
    keys: Sequence[bytes]
    at_ms: int

    @classmethod
    def from_fields(cls, fields: Fields) -> "Order":
        try:
            hashes = HASHES.fullmatch(fields[b"hash"])
            alias, kind = fields[b"alias"].decode(), Kind(fields[b"kind"].decode())
            at_ms = int(fields[b"at_ms"])
        except (KeyError, ValueError) as exc:
            raise UnreadableEntry("an order that cannot be read") from exc
        if hashes is None:
            raise UnreadableEntry("an order for what is no hash")
        return cls(alias, kind, [bytes.fromhex(key.decode()) for key in hashes[0].split(b",") if key], at_ms)


def touch(redis: Any, alias: str, hashes: Iterable[str]) -> Any:
    """These were used, or announced, now. One entry however many hashes."""
    return _add(redis, alias, Kind.TOUCH, hashes)


def delete(redis: Any, alias: str, hashes: Iterable[str]) -> Any:
    return _add(redis, alias, Kind.DELETE, hashes)


def pin(redis: Any, alias: str, hashes: Iterable[str]) -> Any:
    """Keep these whatever their age."""
    return _add(redis, alias, Kind.PIN, hashes)


def unpin(redis: Any, alias: str, hashes: Iterable[str]) -> Any:
    return _add(redis, alias, Kind.UNPIN, hashes)


def verify(redis: Any, alias: str, hashes: Iterable[str]) -> Any:
    """Delete those whose bytes are not what their checksum says."""
    return _add(redis, alias, Kind.VERIFY, hashes)


def _add(redis: Any, alias: str, kind: Kind, hashes: Iterable[str]) -> Any:
    # No MAXLEN: a delete or a pin that the persister has not read yet must not get lost.
    fields = {"alias": alias, "kind": kind.value, "hash": ",".join(hashes), "at_ms": int(time.time() * 1000)}
    return redis.xadd(ORDERS_STREAM, fields)
