"""The contract between the consumer loop and the rooms that handle entries of a stream."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from django.db import DataError, IntegrityError

from config.redis.transient import TRANSIENT

Event = TypeVar("Event")
Fields = dict[bytes, bytes]
Arguments = Sequence[str | bytes | int]

REFUSALS: tuple[type[Exception], ...] = (DataError, IntegrityError)


class UnreadableEntry(Exception):
    """An entry that no retry makes readable. The message says why and quotes nothing private."""


@dataclass(frozen=True, slots=True)
class StreamEntry(Generic[Event]):
    """One parsed entry: its stream, its id, the event it holds, and its raw fields for a dead letter."""

    stream: str
    id: bytes
    event: Event
    fields: Fields


@dataclass(frozen=True, slots=True)
class Batch(Generic[Event]):
    """Entries that were read together, in the order of each stream."""

    entries: Sequence[StreamEntry[Event]]
    size: int = 0  # entries read, unreadable ones included
    # Streams that held nothing else when this batch was read. Empty for a part of a batch, for one that is
    # handled again, and while unacknowledged entries of an earlier delivery are left.
    drained: frozenset[str] = frozenset()

    @property
    def events(self) -> list[Event]:
        return [entry.event for entry in self.entries]


@dataclass(frozen=True, slots=True)
class BatchResult(Generic[Event]):
    """The outcome of a batch.

    An entry in neither list stays pending: the handler has deferred it (see `Handler.retries`) or has
    acknowledged it itself.
    """

    done: Sequence[StreamEntry[Event]] = ()  # to be acknowledged
    refused: Sequence[tuple[StreamEntry[Event], str]] = ()  # to become dead letters, with their reasons


class Handler(ABC, Generic[Event]):
    """Parses and handles the entries of some streams. A StreamConsumer calls it, from one thread.

    Each cycle of the consumer makes these calls, in this order:

    1. `retries`, then `retry` for each batch that it returned;
    2. `needs_maintenance` and `deferred`, which decide how long the next read may block;
    3. `parse` for each entry that was read;
    4. `handle` with those that could be parsed, and the consumer acts on the result: `acknowledge_args` for
       each entry that is done or refused;
    5. `maintain`, if nothing was read.

    Any call may raise one of `transient`: the consumer backs off and repeats the cycle, with the same batch.
    `handle` may raise one of `refusals` as well: the consumer halves the batch until the refused entry stands
    alone, and makes that one a dead letter. Every other exception ends the process.

    Delivery is at least once. `handle` and `retry` must be repeatable: after a crash, or a failure half-way,
    the same entries come again.
    """

    streams: ClassVar[tuple[str, ...]]
    group: ClassVar[str]  # the consumer group
    batch_size: int = 200  # entries read at once from each stream
    block_ms: int = 1000  # the longest a read waits for entries
    # Seconds between batches that are not full. Where no client waits for the outcome, a large batch costs
    # hardly more than a batch of one and leaves the machine to the processes that clients do wait for.
    pause: float = 0.0
    transient: tuple[type[Exception], ...] = TRANSIENT
    refusals: tuple[type[Exception], ...] = REFUSALS
    # Lua that the acknowledging script runs once for each entry, with `args` = acknowledge_args(event). Does
    # not run for an unreadable entry.
    on_acknowledge: ClassVar[str] = ""
    # Sealed in dead letters: spoken text and the like.
    private_fields: ClassVar[frozenset[bytes]] = frozenset()

    @abstractmethod
    def parse(self, stream: str, fields: Fields) -> Event:
        """Read one entry, or raise UnreadableEntry, which makes it a dead letter. Called more than once."""

    @abstractmethod
    def handle(self, batch: Batch[Event]) -> BatchResult[Event]:
        """Handle a batch that is not empty. Repeatable."""

    def acknowledge_args(self, event: Event) -> Arguments:
        """The arguments of `on_acknowledge`. Pure: the same for each delivery of an entry."""
        return ()

    def source(self, fields: Fields) -> bytes | None:
        """The account or worker that an entry comes from, readable or not; None: unknown. See `Brake`."""
        return None

    def retries(self) -> Sequence[Batch[Event]]:
        """Deferred entries to try again now. They stay deferred until `retry` returns."""
        return ()

    def retry(self, batch: Batch[Event]) -> BatchResult[Event]:
        """Handle deferred entries again. Those neither done nor refused stay deferred. Repeatable."""
        return BatchResult()

    @property
    def deferred(self) -> int:
        """The number of deferred batches. While there are any, reads are short and a drain does not end."""
        return 0

    @property
    def needs_maintenance(self) -> bool:
        """Whether `maintain` has work to do: if so, the next read does not wait."""
        return False

    def maintain(self) -> None:
        """One short step of background work. Called after each read that found every stream empty."""


def reason_of(error: Exception) -> str:
    """The class of an error and, from a database, its SQLSTATE. Not its message, which quotes values."""
    code = getattr(error.__cause__, "sqlstate", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__
