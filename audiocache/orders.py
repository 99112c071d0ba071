"""Orders to run_persister, the one process that writes audio files: entries of the stream `orders`.

The functions take a client or a pipeline. With an asynchronous client, their results are awaited.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from redis import Redis

from config.streams import Fields, UnreadableEntry

ORDERS_STREAM = "orders"
POLL_SECONDS = 0.02
TOUCHES_AT_ONCE = 1000  # in one entry
LATEST_MS = 2**62  # fits into a column
HASHES = re.compile(rb"([0-9a-f]{64}(,[0-9a-f]{64})*)?")


class Kind(StrEnum):
    TOUCH = "touch"
    DELETE = "delete"
    PIN = "pin"
    UNPIN = "unpin"
    VERIFY = "verify"  # delete entries that are damaged; unlike DELETE, spares a copy that has replaced them
    PRUNE = "prune"  # evict down to a size below the limit, once

    @property
    def removes(self) -> bool:
        return self in (Kind.DELETE, Kind.VERIFY)


@dataclass(frozen=True, slots=True)
class Order:
    """One change to some entries of one alias."""

    alias: str
    kind: Kind
    keys: Sequence[bytes]
    at_ms: Sequence[int]  # one for each key, or one for all
    size: int = 0  # bytes, of PRUNE

    @classmethod
    def from_fields(cls, fields: Fields) -> "Order":
        try:
            hashes = HASHES.fullmatch(fields[b"hash"])
            alias, kind = fields[b"alias"].decode(), Kind(fields[b"kind"].decode())
            at_ms = [int(time_ms) for time_ms in fields[b"at_ms"].split(b",")]
            size = int(fields.get(b"size", 0))
        except (KeyError, ValueError) as exc:
            raise UnreadableEntry("a malformed order") from exc
        if hashes is None:
            raise UnreadableEntry("an order with a malformed hash")
        keys = [bytes.fromhex(key.decode()) for key in hashes[0].split(b",") if key]
        if len(at_ms) not in (1, len(keys)) or size < 0 or not all(0 <= ms < LATEST_MS for ms in at_ms):
            raise UnreadableEntry("an order with invalid times or size")
        return cls(alias, kind, keys, at_ms, size)

    def times(self) -> Iterator[tuple[bytes, int]]:
        """Each key and its time of use, in milliseconds since 1970."""
        return zip(
            self.keys, self.at_ms if len(self.at_ms) > 1 else [*self.at_ms] * len(self.keys), strict=True
        )


def touch(redis: Any, alias: str, hashes: Iterable[str]) -> Any:
    """Record that these were used or announced now, in one entry for all hashes."""
    return _add(redis, alias, Kind.TOUCH, hashes)


def touch_at(redis: Any, alias: str, times: Mapping[str, int]) -> Any:
    """Record times of use, in milliseconds since 1970. Takes a pipeline: one entry per thousand hashes."""
    remaining = iter(times.items())
    while part := dict(islice(remaining, TOUCHES_AT_ONCE)):
        _add(redis, alias, Kind.TOUCH, part, at_ms=",".join(map(str, part.values())))


def delete(redis: Any, alias: str, hashes: Iterable[str]) -> Any:
    return _add(redis, alias, Kind.DELETE, hashes)


def pin(redis: Any, alias: str, hashes: Iterable[str]) -> Any:
    """Exempt entries from eviction. At most half of the limit can be pinned."""
    return _add(redis, alias, Kind.PIN, hashes)


def unpin(redis: Any, alias: str, hashes: Iterable[str]) -> Any:
    return _add(redis, alias, Kind.UNPIN, hashes)


def verify(redis: Any, alias: str, hashes: Iterable[str]) -> Any:
    """Delete those entries that are damaged."""
    return _add(redis, alias, Kind.VERIFY, hashes)


def prune(redis: Any, alias: str, size: int) -> Any:
    """Evict down to `size` bytes, once, and return free pages to the file system."""
    return _add(redis, alias, Kind.PRUNE, [], size=size)


def is_applied(redis: Redis, entry_id: bytes) -> bool:
    """Whether the order with this entry id has been applied or has become a dead letter."""
    return not redis.xrange(ORDERS_STREAM, entry_id, entry_id)


def wait_for(redis: Redis, entry_id: bytes, seconds: float) -> bool:
    """Wait until an order is applied. False: not in time; it stays queued for run_persister."""
    deadline = time.monotonic() + seconds
    while not is_applied(redis, entry_id):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _add(redis: Any, alias: str, kind: Kind, hashes: Iterable[str], **more: str | int) -> Any:
    # No MAXLEN: it would drop a delete or a pin that the persister has not read yet.
    now = int(time.time() * 1000)
    return redis.xadd(
        ORDERS_STREAM, {"alias": alias, "kind": kind.value, "hash": ",".join(hashes), "at_ms": now, **more}
    )
