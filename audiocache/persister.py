"""From Redis to disk: stores what was finalized and applies the orders, batch by batch. For run_persister."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string
from redis import Redis
from redis.exceptions import RedisError

from audiocache import blob
from audiocache.errors import AudioCacheError, StoreDamaged
from audiocache.orders import ORDERS_STREAM, Order
from audiocache.sqlite.rows import Put
from audiocache.sqlite.writer import Change
from audiocache.store import AudioStore
from config.observability import metrics
from config.streams import Batch, BatchResult, Fields, Handler, UnreadableEntry
from config.streams.dead_letters import replay_script

logger = logging.getLogger(__name__)

PERSIST_STREAM = "persist"
ALIAS = "audio"  # where the audio of blocks goes

STORED = metrics.counter("audiocache_stored", "Pieces of audio written to disk", ["alias"])
EVICTED = metrics.counter("audiocache_evicted", "Pieces of audio evicted", ["alias"])
REFUSED_PINS = metrics.counter("audiocache_refused_pins", "Pins beyond half of the limit", ["alias"])
SET_ASIDE = metrics.counter("audiocache_set_aside", "Files that were corrupt and replaced", ["alias"])
BYTES = metrics.gauge("audiocache_bytes", "Audio in the file", ["alias"])
FULL = metrics.gauge("audiocache_full", "1: far over its limit, and nothing may leave", ["alias"])
LOST = metrics.counter("audiocache_lost", "Audio that was gone or damaged before it could be stored")

# After the commit. Until then the audio has no expiry: it exists nowhere else. An order has no args.
PERSISTED = """
if args[1] then
  if redis.call('DECRBY', 'unpersisted', args[1]) < 0 then redis.call('SET', 'unpersisted', 0) end
  redis.call('EXPIRE', 'audio:' .. args[2], args[3])
end
"""

REPLAY = replay_script("""
redis.call('INCRBY', 'unpersisted', args[1])
redis.call('PERSIST', 'audio:' .. args[2])
""")


# While it is there, ENQUEUE refuses: the file is far over its limit, and nothing in it may leave.
FULL_KEY = "storage-full"
FULL_SECONDS = 30  # unless it is said again: a persister that died says nothing
FULL_PERCENT = 110


class CannotRestore(AudioCacheError):
    """Audio is lost and its job cannot be read either."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Audio that waits in Redis to be stored. `size` is that of its blob, as counted in `unpersisted`."""

    hash: str
    size: int
    job: bytes

    @classmethod
    def from_fields(cls, fields: Fields) -> "Finished":
        try:
            hash_hex, size = fields[b"hash"].decode("ascii"), int(fields[b"size"])
            key = bytes.fromhex(hash_hex)
        except (KeyError, ValueError) as exc:
            raise UnreadableEntry("no hash or size") from exc
        if key.hex() != hash_hex or len(key) != 32 or size < 0:
            raise UnreadableEntry("no proper hash or size")
        return cls(hash_hex, size, fields.get(b"job", b""))

    @property
    def key(self) -> bytes:
        return bytes.fromhex(self.hash)

    @property
    def hot_key(self) -> str:
        return f"audio:{self.hash}"


class PersistHandler(Handler[Finished | Order]):
    """The only writer of the audio files, so that no write ever waits for another.

    Each of its stores must hold the writer lock of its file.
    """

    streams = (PERSIST_STREAM, ORDERS_STREAM)
    group = "persister"
    batch_size = settings.PERSIST_BATCH_SIZE
    pause = settings.COLD_PAUSE_SECONDS
    refusals = (CannotRestore,)
    on_acknowledge = PERSISTED
    private_fields = frozenset({b"job"})  # holds the text

    def __init__(self, stores: Mapping[str, AudioStore], redis: Redis) -> None:
        self.stores = stores
        self.redis = redis
        self._untidy = dict.fromkeys(stores, True)  # aliases with entries to evict or pages to free
        self._full: set[str] = set()

    @cached_property
    def restore(self) -> Callable[[Redis, bytes], object]:
        """The hook that queues the job of lost audio again. ValueError: the job cannot be read."""
        hook: Callable[[Redis, bytes], object] = import_string(settings.AUDIO_LOST_HOOK)
        return hook

    def parse(self, stream: str, fields: Fields) -> Finished | Order:
        if stream == PERSIST_STREAM:
            return Finished.from_fields(fields)
        order = Order.from_fields(fields)
        if order.alias not in self.stores:
            raise UnreadableEntry("an order for an unknown alias")
        return order

    def acknowledge_args(self, event: Finished | Order) -> Sequence[str | bytes | int]:
        if isinstance(event, Order):
            return ()
        return (event.size, event.hash, settings.HOT_AUDIO_SECONDS)

    def handle(self, batch: Batch[Finished | Order]) -> BatchResult[Finished | Order]:
        orders: dict[str, list[Order]] = defaultdict(list)
        finished: list[Finished] = []
        for event in batch.events:
            if isinstance(event, Order):
                orders[event.alias].append(event)
            else:
                finished.append(event)
        # Every order given before the last commit is in this batch or was applied.
        caught_up = ORDERS_STREAM in batch.drained
        lost = self._store(finished, orders.pop(ALIAS, []), caught_up)
        for alias, others in orders.items():
            self._write(alias, [], others, caught_up)
        for event in lost:
            self._restore_lost(event)
        return BatchResult(done=batch.entries)

    @property
    def needs_maintenance(self) -> bool:
        return any(self._untidy.values())

    def maintain(self) -> None:
        """Evict from each file and give its free pages back, in steps that delay no write."""
        for alias in self.stores:
            self._tidy(alias)

    def _store(
        self, finished: Sequence[Finished], orders: Sequence[Order], caught_up: bool
    ) -> list[Finished]:
        """Return what could not be stored, since it is not there or not what it should be."""
        lost: list[Finished] = []
        for part in _by_bytes(finished, settings.PERSIST_BATCH_BYTES) or ([[]] if orders else []):
            puts = self._fetch(part)
            lost += [event for event in part if event.hash not in puts]
            self._write(ALIAS, list(puts.values()), orders, caught_up)
            # Touches and pins may be meant for any part; a delete may not hit what came after it.
            orders = [order for order in orders if not order.kind.removes]
            caught_up = False  # not with what the part before has marked
        return lost

    def _fetch(self, finished: Sequence[Finished]) -> dict[str, Put]:
        if not finished:
            return {}
        values: Any = self.redis.mget([event.hot_key for event in finished])
        puts = ((event.hash, _put(event, value)) for event, value in zip(finished, values, strict=True))
        return {hash_hex: put for hash_hex, put in puts if put}

    def _write(self, alias: str, puts: Sequence[Put], orders: Sequence[Order], caught_up: bool) -> None:
        store = self.stores[alias]
        try:
            change = store.write_batch(puts, orders, caught_up=caught_up)
        except StoreDamaged as exc:
            begin_anew(store, self.redis, exc)
            change = store.write_batch(puts, orders, caught_up=caught_up)
        self._count(alias, change)
        self._report_full(alias, not change.more and change.total > store.limit * FULL_PERCENT // 100)
        self._untidy[alias] = change.more

    def _count(self, alias: str, change: Change) -> None:
        STORED.labels(alias).inc(change.stored)
        EVICTED.labels(alias).inc(change.evicted)
        BYTES.labels(alias).set(change.total)
        if change.refused_pins:
            REFUSED_PINS.labels(alias).inc(change.refused_pins)
            logger.warning("%s: %d not pinned: half of the limit is", alias, change.refused_pins)

    def _report_full(self, alias: str, is_full: bool) -> None:
        FULL.labels(alias).set(is_full)
        if is_full:
            if alias not in self._full:
                logger.error("%s is far over its limit: what is in it is pinned or just used", alias)
            self._full.add(alias)
            self.redis.set(FULL_KEY, 1, ex=FULL_SECONDS)
        elif alias in self._full:
            self._full.discard(alias)
            if not self._full:
                self.redis.delete(FULL_KEY)

    def _tidy(self, alias: str) -> None:
        """One step: evict, and once nothing is left to evict, give pages back."""
        if self._untidy[alias] or alias in self._full:
            self._write(alias, [], [], caught_up=True)  # every stream was found empty
        if not self._untidy[alias]:
            self._untidy[alias] = self.stores[alias].give_back()

    def _restore_lost(self, event: Finished) -> None:
        """Not acknowledged away: whoever waits for it, or comes for it, gets it."""
        self.redis.delete(event.hot_key)  # if anything is left there, it is wrong
        if self.stores[ALIAS].get(event.hash) is not None:
            return  # stored by an earlier attempt
        LOST.inc()
        logger.error("%s was lost before it was stored; it is made again", event.hash)
        try:
            self.restore(self.redis, event.job)
        except ValueError as exc:
            raise CannotRestore(event.hash) from exc


def begin_anew(store: AudioStore, redis: Redis, reason: Exception) -> None:
    """A corrupt file stops nobody: what was in it is made again when somebody asks for it."""
    aside = store.begin_anew()
    SET_ASIDE.labels(store.alias).inc()
    logger.critical(
        "%s is corrupt (%s) and was set aside as %s; the service goes on with an empty file."
        " %d pinned entries are listed in %s: manage.py warm_audio --lost makes them again.",
        store.alias,
        reason,
        aside.file.name,
        aside.pinned,
        aside.pinned_list.name,
    )
    try:
        redis.incr(f"generation:{store.alias}")  # for `audiocache_stats`: how often this happened
    except RedisError as exc:
        logger.warning("not counted in Redis: %s", type(exc).__name__)


def _by_bytes(finished: Iterable[Finished], limit: int) -> list[list[Finished]]:
    """Parts of at most `limit` bytes each, or a single larger one."""
    parts: list[list[Finished]] = []
    room = 0
    for event in finished:
        if not parts or event.size > room:
            parts.append([])
            room = limit
        parts[-1].append(event)
        room -= event.size
    return parts


def _put(event: Finished, value: bytes | None) -> Put | None:
    if value is None:
        return None
    try:
        header, audio = blob.split(value)
    except blob.BadBlob:
        return None
    if not blob.verify(header, audio):
        return None
    return Put(event.key, value[: len(value) - header.length], audio, header.sha256)
