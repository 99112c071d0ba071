"""The consumer loop: take a batch from Redis streams, handle it repeatably, and only then let it go."""

import itertools
import logging
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, close_old_connections
from redis import Redis
from redis import exceptions as redis_errors

from config.observability import metrics
from config.redis import clients as redis_clients
from config.redis import layout, scripts
from config.redis.transient import OUTAGES, is_transient
from config.streams import dead_letters
from config.streams.consumer_lock import ConsumerLock, ConsumerLockTaken

logger = logging.getLogger(__name__)

Event = TypeVar("Event")
Fields = dict[bytes, bytes]
Arguments = Sequence[Sequence[str | bytes | int]]

TRANSIENT: tuple[type[Exception], ...] = (
    OperationalError,
    InterfaceError,
    *OUTAGES,
)
REFUSALS: tuple[type[Exception], ...] = (DataError, IntegrityError)
EX_TEMPFAIL = 75  # sysexits.h: another one is at it
MAX_BACKOFF = 2.0  # seconds; whoever was away is noticed soon after it is back
MAX_DELIVERIES = 5
CLAIM_EVERY = 1.0  # seconds between looks for what a dead consumer left
CLAIM_IDLE_MS = 30_000

TAKEN = metrics.counter("stream_entries", "Entries handled and let go", ["stream"])
BURIED = metrics.counter("stream_buried", "Entries that could not be handled", ["stream"])
BATCH_SECONDS = metrics.histogram("stream_batch_seconds", "Handling one batch", ["stream"])

# An entry is money or audio: whoever's XACK counts does what follows from it, everybody else nothing.
#
# ARGV: group, how many arguments belong to an entry; then those of each: its id and what the follow-up takes,
# as `args`. Many at a time: a call of its own for each costs more than all that it does.
LET_GO = """
local width = tonumber(ARGV[2])
for first = 3, #ARGV, width do
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[first]) == 1 then
    redis.call('XDEL', KEYS[1], ARGV[first])
    local args = {unpack(ARGV, first + 1, first + width - 1)}
%s
  end
end
"""
LET_GO_AT_ONCE = 100  # entries: nobody may wait long for one script
# ARGV: group, id, number of dead-letter pairs * 2, the pairs, then `args`
# (none: an entry that nobody could read, and nothing follows from it).
BURY = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
local dead = tonumber(ARGV[3])
if dead > 0 then redis.call('XADD', 'dead:' .. KEYS[1], '*', unpack(ARGV, 4, 3 + dead)) end
local args = {unpack(ARGV, 4 + dead)}
if #args > 0 then
%s
end
return 1
"""


class UnreadableEntry(Exception):
    """An entry that no retry can make readable. The message says why and quotes nothing private."""


class StopFlag:
    """Set by a signal. A bare attribute: taking a lock in a signal handler can deadlock."""

    def __init__(self) -> None:
        self.is_set = False

    def listen(self) -> "StopFlag":
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        return self

    def _stop(self, signum: int, frame: object) -> None:
        if self.is_set:
            raise SystemExit(128 + signum)  # asked twice: does not wait for the batch in hand
        self.is_set = True

    def sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.is_set and time.monotonic() < deadline:
            time.sleep(min(0.1, seconds))


@dataclass(frozen=True, slots=True)
class Entry(Generic[Event]):
    """One readable entry: where it came from, what it says, and its raw fields for the dead-letter list."""

    stream: str
    id: bytes
    event: Event
    fields: Fields


class StreamConsumer(Generic[Event]):
    """Subclasses name the streams and say how an entry is read and a batch handled.

    `handle` must be repeatable: after a crash, or a failure half-way, the same events come again.
    """

    streams: ClassVar[tuple[str, ...]]
    group: ClassVar[str]
    batch_size: int = 200
    block_ms: int = 1000
    # Seconds between batches that are not full. Where nobody waits for the outcome, a batch of many costs
    # hardly more than a batch of one, and leaves the machine to those who do wait.
    pause: float = 0.0
    transient: tuple[type[Exception], ...] = TRANSIENT
    refusals: tuple[type[Exception], ...] = REFUSALS
    # Lua run once for each entry that is let go, with `args` = settle_args(event).
    follow_up: ClassVar[str] = ""
    # Sealed in dead letters: spoken text and the like.
    private_fields: ClassVar[frozenset[bytes]] = frozenset()

    def __init__(self, redis: Redis | None = None, *, number: int = 0, blocking: Redis | None = None) -> None:
        self.redis = redis or redis_clients.sync()
        self.blocking = blocking or redis or redis_clients.blocking(self.block_ms / 1000)
        self.consumer = f"{self.group}-{number}"  # stable: its own pending entries are found after a restart
        self.backlog = True
        self.place: ConsumerLock | None = None
        self.held: list[Entry[Event]] = []
        self._taken = 0
        self._claimed_at = 0.0
        self._let_go = scripts.Script(LET_GO % self.follow_up)
        self._buried = scripts.Script(BURY % self.follow_up)

    def parse(self, stream: str, fields: Fields) -> Event:
        """Read one entry, or raise UnreadableEntry."""
        raise NotImplementedError

    def handle(self, events: Sequence[Event]) -> None:
        raise NotImplementedError

    def settle_args(self, event: Event) -> Sequence[str | bytes | int]:
        return ()

    def run(self, stop: StopFlag, *, drain: bool = False) -> None:
        """Until stopped, or with `drain` until nothing is left."""
        delay = 0.0
        waited_for: tuple[type[Exception], ...] = (*self.transient, redis_errors.ResponseError)
        while not stop.is_set:
            close_old_connections()
            try:
                taken = self.run_once(wait=not drain)
            except waited_for as error:
                if not isinstance(error, self.transient) and not is_transient(error):
                    raise
                if isinstance(error, redis_errors.RedisError):
                    self.backlog = True  # a server that comes back may have lost what it had acknowledged
                delay = min(MAX_BACKOFF, delay * 2 or 0.25)
                logger.warning("%s: %s; trying again in %.2f s", self.group, type(error).__name__, delay)
                stop.sleep(delay)
                continue
            delay = 0.0
            if drain and not taken:
                return
            if not drain and 0 < taken < self.batch_size:
                stop.sleep(self.pause)

    def run_once(self, *, wait: bool = True) -> int:
        """Take one batch, handle it, let it go. Return how many entries that were, unreadable ones included.

        A batch that fails is held and tried again as it is: reading it anew would count as another
        delivery, and an outage is not the entries' fault.
        """
        if not self.held:
            self.held = self._take(wait=wait)
        if self.held:
            with BATCH_SECONDS.labels(self.held[0].stream).time():
                self.settle(self._handle(self.held))
            TAKEN.labels(self.held[0].stream).inc(len(self.held))
        self.held = []
        return self._taken

    def settle(self, entries: Sequence[Entry[Event]]) -> None:
        """Let handled entries go, each in one atomic step with what follows from it. Repeatable."""
        calls = []
        for stream, args in self._to_let_go(entries):
            calls.append(self._let_go.call(self.group, len(args[0]), *itertools.chain(*args), keys=[stream]))
        for answer in scripts.run_all(self.redis, calls):
            if isinstance(answer, Exception):
                raise answer

    def _to_let_go(self, entries: Sequence[Entry[Event]]) -> Iterator[tuple[str, Arguments]]:
        """By stream and number of arguments, so many at a time as one script takes."""
        args = [(entry.stream, (entry.id, *self.settle_args(entry.event))) for entry in entries]
        for (stream, _), group in itertools.groupby(args, key=lambda item: (item[0], len(item[1]))):
            alike = [each for _, each in group]
            for first in range(0, len(alike), LET_GO_AT_ONCE):
                yield stream, alike[first : first + LET_GO_AT_ONCE]

    def _handle(self, entries: Sequence[Entry[Event]]) -> Sequence[Entry[Event]]:
        """Handle all, or halve until what is refused stands alone, and bury that. Return what is done."""
        try:
            self.handle([entry.event for entry in entries])
        except self.refusals as error:
            if len(entries) == 1:
                entry = entries[0]
                self._bury(
                    entry.stream, entry.id, entry.fields, reason_of(error), self.settle_args(entry.event)
                )
                return []
            middle = len(entries) // 2
            return [*self._handle(entries[:middle]), *self._handle(entries[middle:])]
        return entries

    def _take(self, *, wait: bool) -> list[Entry[Event]]:
        self._claim_stale()
        try:
            raw = self._read_backlog() if self.backlog else []
            if not raw and not self.backlog:
                raw = self._read(">", self.batch_size, block=self.block_ms if wait else None)
        except redis_errors.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._create_groups()
            return self._take(wait=wait)
        except (redis_errors.ConnectionError, redis_errors.TimeoutError):
            self.backlog = True  # the answer may have been on its way: delivered, and never seen
            raise
        self._taken = len(raw)
        return [entry for entry in (self._readable(*item) for item in raw) if entry]

    def _read_backlog(self) -> list[tuple[str, bytes, Fields]]:
        """What was delivered to us and not let go; a suspect alone, or it takes its neighbours along."""
        for stream in self.streams:
            pending: Any = self.redis.xpending_range(
                stream, self.group, min="-", max="+", count=self.batch_size, consumername=self.consumer
            )
            if not pending:
                continue
            suspect = max(item["times_delivered"] for item in pending) > 1
            raw = self._read("0", 1 if suspect else self.batch_size, block=None, only=stream)
            worn = {item["message_id"] for item in pending if item["times_delivered"] >= MAX_DELIVERIES}
            for name, entry_id, fields in raw:
                if entry_id in worn:
                    self._bury(name, entry_id, fields, "delivered too often", self._args_of(name, fields))
            kept = [item for item in raw if item[1] not in worn]
            return kept or self._read_backlog()
        self.backlog = False
        return []

    def _read(
        self, after: str, count: int, *, block: int | None, only: str | None = None
    ) -> list[tuple[str, bytes, Fields]]:
        client = self.blocking if block else self.redis
        wanted: dict[Any, Any] = dict.fromkeys([only] if only else self.streams, after)
        answer: Any = client.xreadgroup(self.group, self.consumer, wanted, count=count, block=block)
        found = answer.items() if isinstance(answer, dict) else answer or ()
        return [
            (stream.decode(), entry_id, fields)
            for stream, batch in found
            for entry_id, fields in _flat(batch)
        ]

    def _readable(self, stream: str, entry_id: bytes, fields: Fields | None) -> Entry[Event] | None:
        if not fields:  # deleted under us: nothing to handle, only to forget
            self._bury(stream, entry_id, {}, "", ())
            return None
        try:
            return Entry(stream, entry_id, self.parse(stream, fields), fields)
        except UnreadableEntry as error:
            self._bury(stream, entry_id, fields, str(error), ())
            return None

    def _args_of(self, stream: str, fields: Fields) -> Sequence[str | bytes | int]:
        try:
            return self.settle_args(self.parse(stream, fields))
        except UnreadableEntry:
            return ()

    def _bury(
        self, stream: str, entry_id: bytes, fields: Fields, reason: str, args: Sequence[str | bytes | int]
    ) -> None:
        letter: list[scripts.Argument] = []
        if fields:
            BURIED.labels(stream).inc()
            logger.error("%s: entry %s is buried: %s", stream, entry_id.decode(), reason)
            letter = dead_letters.written(
                fields, self.private_fields, entry=entry_id, reason=reason, let_go=args
            )
        scripts.run(
            self.redis, self._buried.call(self.group, entry_id, len(letter), *letter, *args, keys=[stream])
        )

    def _claim_stale(self) -> None:
        now = time.monotonic()
        if now - self._claimed_at < CLAIM_EVERY:
            return
        self._claimed_at = now
        if self.place and self.place.is_lost():
            self.backlog = True
        for stream in self.streams:
            try:
                answer = self.redis.xautoclaim(
                    stream, self.group, self.consumer, CLAIM_IDLE_MS, count=self.batch_size, justid=True
                )
            except redis_errors.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                self._create_groups()
                continue
            self.backlog = self.backlog or bool(answer)

    def _create_groups(self) -> None:
        """From the start of the stream, never from now: what is in it already is money or audio."""
        for stream in self.streams:
            try:
                self.redis.xgroup_create(stream, self.group, id="0", mkstream=True)
            except redis_errors.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise


def _flat(batch: Any) -> Any:
    """redis-py wraps a stream's entries once more under RESP3."""
    return batch[0] if batch and isinstance(batch[0], list) else batch


def reason_of(error: Exception) -> str:
    """The kind and, of a database's refusal, its code: messages quote values."""
    code = getattr(error.__cause__, "sqlstate", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__


class StreamCommand(BaseCommand):
    """A process that runs one consumer until it is told to stop."""

    consumer_class: type[StreamConsumer[Any]]
    requires_system_checks: list[str] = []  # starts without a database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--drain", action="store_true", help="end as soon as nothing is left")
        parser.add_argument(
            "--number", type=int, default=0, help="which one this is, when several run; keep it over restarts"
        )

    def handle(self, *args: object, drain: bool, number: int, **options: object) -> None:
        stop = StopFlag().listen()
        layout.require()
        metrics.serve(settings.METRICS_PORT)
        consumer = self.make_consumer(number)
        consumer.place = ConsumerLock(consumer.consumer)
        try:
            consumer.run(stop, drain=drain)
        except ConsumerLockTaken as taken:
            raise CommandError(str(taken), returncode=EX_TEMPFAIL) from taken
        finally:
            consumer.place.close()

    def make_consumer(self, number: int) -> StreamConsumer[Any]:
        return self.consumer_class(number=number)
