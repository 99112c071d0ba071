"""Values that audio stores take and return."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class StoredAudio(NamedTuple):
    """One audio and the header that precedes it in a blob."""

    header: bytes
    audio: bytes


@dataclass(frozen=True, slots=True)
class Put:
    """One audio to store. The caller has verified its checksum."""

    key: bytes
    meta: bytes
    audio: bytes | memoryview
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Stats:
    """Totals of a store: bytes of audio, and the limit that eviction keeps them to."""

    bytes: int
    entries: int
    pinned_bytes: int
    limit: int


@dataclass(frozen=True, slots=True)
class Removed:
    """The size of one removed entry, and whether it was pinned."""

    size: int
    pinned: bool


@dataclass(slots=True)
class Change:
    """The effect of a batch. `bytes`, `n` and `pinned_bytes` are differences to the totals."""

    bytes: int = 0
    n: int = 0
    pinned_bytes: int = 0
    stored: int = 0
    evicted: int = 0
    refused_pins: int = 0
    total: int = 0  # bytes stored afterwards
    more: bool = False  # whether the next batch can evict entries that this one had to keep

    def subtract(self, removed: Sequence[Removed]) -> None:
        self.n -= len(removed)
        self.bytes -= sum(one.size for one in removed)
        self.pinned_bytes -= sum(one.size for one in removed if one.pinned)


class Record(NamedTuple):
    """One entry without its audio."""

    hash: str
    size: int  # bytes of audio
    is_pinned: bool
    last_access: float | None  # seconds since 1970; None: to be evicted next


class SetAside(NamedTuple):
    """Where corrupt storage was moved to, and the list of its pinned entries. Both for operators."""

    place: str
    pinned_list: str
    pinned: int
