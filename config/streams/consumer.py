"""The consumer loop: read a batch from Redis streams, have it handled, then acknowledge its entries."""

import dataclasses
import itertools
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Generic

from django.db import close_old_connections
from redis import Redis
from redis import exceptions as redis_errors

from config.observability import metrics
from config.redis import clients as redis_clients
from config.redis import scripts
from config.redis.keys import STOPPED_CONSUMERS
from config.redis.transient import is_transient
from config.streams import dead_letters
from config.streams.brake import Brake, Braked
from config.streams.consumer_lock import ConsumerLock
from config.streams.handler import (
    Arguments,
    Batch,
    BatchResult,
    Event,
    Fields,
    Handler,
    StreamEntry,
    UnreadableEntry,
    reason_of,
)
from config.streams.stop_flag import StopFlag

logger = logging.getLogger(__name__)

MAX_BACKOFF = 2.0  # seconds, so that recovery is noticed soon
MAX_DELIVERIES = 5
CLAIM_EVERY = 1.0  # seconds between claims of entries that dead consumers left pending
CLAIM_IDLE_MS = 30_000
PENDING_AT_ONCE = 10_000  # entries whose deliveries are forgotten when the brake is pulled
BRAKE_SECONDS = 30.0  # before a stopped consumer tries the refused entries again
DEFERRED_BLOCK_MS = 100  # the longest a read waits while the handler has deferred entries

HANDLED = metrics.counter("stream_entries", "Entries handled", ["stream"])
DEAD_LETTERS = metrics.counter("stream_dead_letters", "Entries that could not be handled", ["stream"])
STOPPED = metrics.gauge("stream_stopped", "1: most entries were refused, and none is handled", ["consumer"])
BATCH_SECONDS = metrics.histogram("stream_batch_seconds", "Handling one batch", ["stream"])

# An entry is money or audio: `on_acknowledge` runs only for the caller whose XACK removed it.
#
# ARGV: group, number of arguments per entry; then for each entry its id and the handler's `args`.
# Many entries in one script: a call for each would cost more than the work it does.
ACKNOWLEDGE = """
local width = tonumber(ARGV[2])
for first = 3, #ARGV, width do
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[first]) == 1 then
    redis.call('XDEL', KEYS[1], ARGV[first])
    local args = {unpack(ARGV, first + 1, first + width - 1)}
%s
  end
end
"""
ACKNOWLEDGE_AT_ONCE = 100  # entries, so that one script does not block Redis for long
# ARGV: group, id, number of names and values in the letter, the letter, then `args` (none for an unreadable
# entry, for which `on_acknowledge` does not run).
DEAD_LETTER = """
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


class StreamConsumer(Generic[Event]):
    """Runs a Handler on its streams, as the consumer `{group}-{number}` of its consumer group.

    `run` is the process; `run_once` is one cycle of it, for tests and tools. `read`, `acknowledge` and
    `dead_letter` are the steps of a cycle, all repeatable.
    """

    def __init__(
        self,
        handler: Handler[Event],
        redis: Redis | None = None,
        *,
        number: int = 0,
        blocking: Redis | None = None,
    ) -> None:
        """`blocking` is the client for reads that wait; without it, `redis` is used for them as well."""
        self.handler = handler
        self.redis = redis or redis_clients.sync()
        self.blocking = blocking or redis or redis_clients.blocking(handler.block_ms / 1000)
        self.name = f"{handler.group}-{number}"  # stable: a restart finds the pending entries of its name
        self.lock: ConsumerLock | None = None
        self.brake = Brake()
        self.has_backlog = True  # entries of an earlier delivery may be pending under our name
        self._batch: Batch[Event] | None = None  # read, and not handled yet
        self._results: list[BatchResult[Event]] = []  # handled, and not acknowledged yet
        self._claimed_at = 0.0
        self._acknowledge_script = scripts.Script(ACKNOWLEDGE % handler.on_acknowledge)
        self._dead_letter_script = scripts.Script(DEAD_LETTER % handler.on_acknowledge)

    def run(self, stop: StopFlag, *, drain: bool = False) -> None:
        """Run until stopped, or with `drain` until every stream is empty.

        Raises Braked at the end if the brake is pulled, and with `drain` at once.
        """
        self._tell_of_brake()
        delay = 0.0
        transient = self.handler.transient
        caught: tuple[type[Exception], ...] = (*transient, redis_errors.ResponseError)
        while not stop.is_set:
            close_old_connections()
            try:
                taken = self.run_once(wait=not drain)
                if self.brake.is_pulled:
                    self.brake.release()
                    self._tell_of_brake()
            except Braked as braked:
                logger.error("%s stopped: %s. It tries again in %.0f s.", self.name, braked, BRAKE_SECONDS)
                if drain:
                    raise
                self._wait_pulled(stop)
                if stop.is_set:
                    raise
                continue
            except caught as error:
                if not isinstance(error, transient) and not is_transient(error):
                    raise
                if isinstance(error, redis_errors.RedisError):
                    self.has_backlog = True  # a restarted server may have lost the last acknowledgements
                delay = min(MAX_BACKOFF, delay * 2 or 0.25)
                group, kind = self.handler.group, type(error).__name__
                logger.warning("%s: %s; trying again in %.2f s", group, kind, delay)
                stop.sleep(delay)
                continue
            delay = 0.0
            if drain and not taken:
                return
            if not drain and 0 < taken < self.handler.batch_size:
                stop.sleep(self.handler.pause)

    def run_once(self, *, wait: bool = True) -> int:
        """Run one cycle. Return the entries read or retried, plus the deferred batches: 0 means all done.

        A batch that fails is kept and handled again: reading it again would count as another delivery, and
        an outage is not the entries' fault. For the same reason a result is kept until it is acknowledged.
        """
        self._finish_results()
        retried = self._retry_deferred()
        may_wait = wait and not retried and not self.handler.needs_maintenance
        batch = self._batch or self.read(wait=may_wait)
        if batch.entries:
            self._batch = dataclasses.replace(batch, drained=frozenset())
            stream = batch.entries[0].stream
            with BATCH_SECONDS.labels(stream).time():
                result = self._handle(batch)
                self._batch = None
                HANDLED.labels(stream).inc(len(batch.entries))
                self._finish(result)
        if not batch.size:
            self.handler.maintain()
        deferred = self.handler.deferred
        if deferred and not batch.size and not wait:
            time.sleep(DEFERRED_BLOCK_MS / 1000)
        return batch.size + retried + deferred

    def read(self, *, wait: bool = True) -> Batch[Event]:
        """Read the next batch: first the entries pending under our name, then new ones.

        Unreadable entries become dead letters. With `wait`, blocks for `Handler.block_ms` at most.
        """
        self._claim_stale()
        try:
            raw = self._read_backlog() if self.has_backlog else []
            if not raw and not self.has_backlog:
                raw = self._read(">", self.handler.batch_size, block=self._block_ms() if wait else None)
        except redis_errors.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._create_groups()
            return self.read(wait=wait)
        except (redis_errors.ConnectionError, redis_errors.TimeoutError):
            self.has_backlog = True  # the reply may have been lost on its way: delivered and never seen
            raise
        self.brake.count_handled(len(raw))
        counts = Counter(stream for stream, _, _ in raw)
        drained = (each for each in self.handler.streams if counts[each] < self.handler.batch_size)
        return Batch(
            self._parse_all(raw),
            size=len(raw),
            drained=frozenset() if self.has_backlog else frozenset(drained),
        )

    def acknowledge(self, entries: Sequence[StreamEntry[Event]]) -> None:
        """Acknowledge and delete entries, running `Handler.on_acknowledge` once for each. Repeatable."""
        calls = []
        for stream, args in self._acknowledgements(entries):
            script = self._acknowledge_script
            calls.append(
                script.call(self.handler.group, len(args[0]), *itertools.chain(*args), keys=[stream])
            )
        for answer in scripts.run_all(self.redis, calls):
            if isinstance(answer, Exception):
                raise answer

    def dead_letter(self, entry: StreamEntry[Event], reason: str) -> None:
        """Move an entry to `dead:{stream}`, running `Handler.on_acknowledge` as for others. Repeatable."""
        args = self.handler.acknowledge_args(entry.event)
        self._dead_letter(entry.stream, entry.id, entry.fields, reason, args)

    def _acknowledgements(
        self, entries: Sequence[StreamEntry[Event]]
    ) -> Iterator[tuple[str, Sequence[Arguments]]]:
        """Id and arguments of each entry, grouped by stream and number of arguments into calls."""
        args = [(entry.stream, (entry.id, *self.handler.acknowledge_args(entry.event))) for entry in entries]
        for (stream, _), group in itertools.groupby(args, key=lambda item: (item[0], len(item[1]))):
            alike = [each for _, each in group]
            for first in range(0, len(alike), ACKNOWLEDGE_AT_ONCE):
                yield stream, alike[first : first + ACKNOWLEDGE_AT_ONCE]

    def _handle(self, batch: Batch[Event]) -> BatchResult[Event]:
        """Have a batch handled; halve it when it is refused, until the refused entry stands alone."""
        try:
            return self.handler.handle(batch)
        except self.handler.refusals as error:
            entries = batch.entries
            if len(entries) == 1:
                return BatchResult(refused=[(entries[0], reason_of(error))])
            middle = len(entries) // 2
            halves = [self._handle(Batch(part)) for part in (entries[:middle], entries[middle:])]
            return BatchResult(
                done=[entry for half in halves for entry in half.done],
                refused=[entry for half in halves for entry in half.refused],
            )

    def _retry_deferred(self) -> int:
        """Retry deferred entries whose time has come. Return the number that are no longer deferred."""
        retried = 0
        for batch in self.handler.retries():
            self._claim(batch.entries)
            result = self.handler.retry(batch)
            retried += len(result.done) + len(result.refused)
            self._finish(result)
        return retried

    def _finish(self, result: BatchResult[Event]) -> None:
        self._results.append(result)
        self._finish_results()

    def _finish_results(self) -> None:
        while self._results:
            result = self._results[0]
            self.acknowledge(result.done)
            if result.refused:
                self._allow([(entry.id, entry.fields) for entry, _ in result.refused])
            for entry, reason in result.refused:
                self.dead_letter(entry, reason)
            del self._results[0]

    def _block_ms(self) -> int:
        return DEFERRED_BLOCK_MS if self.handler.deferred else self.handler.block_ms

    def _read_backlog(self) -> list[tuple[str, bytes, Fields]]:
        """Pending entries of our name. After a second delivery they come one by one, to isolate the cause."""
        for stream in self.handler.streams:
            pending: Any = self.redis.xpending_range(
                stream,
                self.handler.group,
                min="-",
                max="+",
                count=self.handler.batch_size,
                consumername=self.name,
            )
            if not pending:
                continue
            is_suspect = max(item["times_delivered"] for item in pending) > 1
            raw = self._read("0", 1 if is_suspect else self.handler.batch_size, block=None, only=stream)
            worn = {item["message_id"] for item in pending if item["times_delivered"] >= MAX_DELIVERIES}
            if worn:
                self._allow([(entry_id, fields) for _, entry_id, fields in raw if entry_id in worn])
            for name, entry_id, fields in raw:
                if entry_id in worn:
                    args = self._args_of(name, fields)
                    self._dead_letter(name, entry_id, fields, "delivered too often", args)
            kept = [item for item in raw if item[1] not in worn]
            return kept or self._read_backlog()
        self.has_backlog = False
        return []

    def _read(
        self, after: str, count: int, *, block: int | None, only: str | None = None
    ) -> list[tuple[str, bytes, Fields]]:
        client = self.blocking if block else self.redis
        positions: dict[Any, Any] = dict.fromkeys([only] if only else self.handler.streams, after)
        reply: Any = client.xreadgroup(self.handler.group, self.name, positions, count=count, block=block)
        batches = reply.items() if isinstance(reply, dict) else reply or ()
        return [
            (stream.decode(), entry_id, fields)
            for stream, batch in batches
            for entry_id, fields in _flat(batch)
        ]

    def _parse_all(self, raw: Sequence[tuple[str, bytes, Fields]]) -> list[StreamEntry[Event]]:
        """The readable entries; the others become dead letters."""
        entries, unreadable = [], []
        for stream, entry_id, fields in raw:
            if not fields:  # deleted from the stream while it was pending: acknowledge it, write no letter
                self._dead_letter(stream, entry_id, {}, "", ())
                continue
            try:
                entries.append(StreamEntry(stream, entry_id, self.handler.parse(stream, fields), fields))
            except UnreadableEntry as error:
                unreadable.append((stream, entry_id, fields, str(error)))
        if unreadable:
            self._allow([(entry_id, fields) for _, entry_id, fields, _ in unreadable])
        for stream, entry_id, fields, reason in unreadable:
            self._dead_letter(stream, entry_id, fields, reason, ())
        return entries

    def _allow(self, refused: Sequence[tuple[bytes, Fields]]) -> None:
        """Raise Braked, with nothing written, if these entries are too many to become dead letters."""
        try:
            self.brake.allow([self.handler.source(fields) or entry_id for entry_id, fields in refused])
        except Braked:
            self._keep_pending()
            raise

    def _keep_pending(self) -> None:
        """Forget the entries in hand, which stay pending and are read again, as if delivered the first time.

        Otherwise they would become dead letters for the number of their deliveries.
        """
        self._batch, self._results, self.has_backlog = None, [], True
        for stream in self.handler.streams:
            pending: Any = self.redis.xpending_range(
                stream, self.handler.group, "-", "+", PENDING_AT_ONCE, consumername=self.name
            )
            ids: Any = [item["message_id"] for item in pending]
            if ids:
                self.redis.xclaim(stream, self.handler.group, self.name, 0, ids, retrycount=0, justid=True)

    def _wait_pulled(self, stop: StopFlag) -> None:
        self._tell_of_brake()
        stop.sleep(BRAKE_SECONDS)
        self.brake.try_again()

    def _tell_of_brake(self) -> None:
        """Metric, and the mark in Redis that `/health` shows. Transient Redis errors are ignored."""
        STOPPED.labels(self.name).set(self.brake.is_pulled)
        try:
            if self.brake.is_pulled:
                self.redis.hset(STOPPED_CONSUMERS, self.name, int(time.time()))
            elif self.redis.hdel(STOPPED_CONSUMERS, self.name):
                logger.warning("%s goes on", self.name)
        except redis_errors.RedisError as error:
            if not is_transient(error):
                raise
            logger.warning("%s: %s", self.name, type(error).__name__)

    def _args_of(self, stream: str, fields: Fields) -> Arguments:
        try:
            return self.handler.acknowledge_args(self.handler.parse(stream, fields))
        except UnreadableEntry:
            return ()

    def _dead_letter(
        self, stream: str, entry_id: bytes, fields: Fields, reason: str, args: Arguments
    ) -> None:
        letter: list[scripts.Argument] = []
        if fields:
            DEAD_LETTERS.labels(stream).inc()
            logger.error("%s: entry %s becomes a dead letter: %s", stream, entry_id.decode(), reason)
            letter = dead_letters.compose(
                fields, self.handler.private_fields, entry=entry_id, reason=reason, acknowledge_args=args
            )
        script = self._dead_letter_script
        call = script.call(self.handler.group, entry_id, len(letter), *letter, *args, keys=[stream])
        scripts.run(self.redis, call)

    def _claim(self, entries: Sequence[StreamEntry[Event]]) -> None:
        """Reset the idle time of entries in hand, or another consumer would claim them as abandoned."""
        by_stream = sorted(entries, key=lambda entry: entry.stream)
        for stream, group in itertools.groupby(by_stream, key=lambda entry: entry.stream):
            ids: Any = [entry.id for entry in group]
            self.redis.xclaim(stream, self.handler.group, self.name, 0, ids, justid=True)

    def _claim_stale(self) -> None:
        now = time.monotonic()
        if now - self._claimed_at < CLAIM_EVERY:
            return
        self._claimed_at = now
        if self.lock and self.lock.is_lost():
            self.has_backlog = True
        for stream in self.handler.streams:
            try:
                claimed = self.redis.xautoclaim(
                    stream,
                    self.handler.group,
                    self.name,
                    CLAIM_IDLE_MS,
                    count=self.handler.batch_size,
                    justid=True,
                )
            except redis_errors.ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                self._create_groups()
                continue
            self.has_backlog = self.has_backlog or bool(claimed)

    def _create_groups(self) -> None:
        """Start at the beginning of each stream, not at its end: its entries are money or audio."""
        for stream in self.handler.streams:
            try:
                self.redis.xgroup_create(stream, self.handler.group, id="0", mkstream=True)
            except redis_errors.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise


def _flat(batch: Any) -> Any:
    """redis-py wraps a stream's entries once more under RESP3."""
    return batch[0] if batch and isinstance(batch[0], list) else batch
