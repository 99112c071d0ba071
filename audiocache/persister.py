"""The persister: stores finished audio from Redis on disk and applies orders. Run by run_persister."""

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
from audiocache.records import Change, Put
from audiocache.store import Store
from config.observability import metrics
from config.redis import keys
from config.streams import Batch, BatchResult, Fields, Handler, UnreadableEntry
from config.streams.dead_letters import replay_script

logger = logging.getLogger(__name__)

PERSIST_STREAM = "persist"

STORED = metrics.counter("audiocache_stored", "Entries stored on disk", ["alias"])
EVICTED = metrics.counter("audiocache_evicted", "Entries evicted", ["alias"])
REFUSED_PINS = metrics.counter("audiocache_refused_pins", "Pins beyond half of the limit", ["alias"])
SET_ASIDE = metrics.counter("audiocache_set_aside", "Corrupt storage that was replaced", ["alias"])
BYTES = metrics.gauge("audiocache_bytes", "Bytes of audio in the store", ["alias"])
FULL = metrics.gauge("audiocache_full", "1: far over its limit, and no entry may be evicted", ["alias"])
LOST = metrics.counter("audiocache_lost", "Audio that was missing or damaged before it was stored")

# Runs after the commit. Until then the audio in Redis is the only copy, without expiry. Orders have no args.
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

# While STORAGE_FULL exists, ENQUEUE refuses jobs: a store is far over its limit and cannot evict entries.
FULL_SECONDS = 30  # expiry of that key, in case the persister dies
FULL_PERCENT = 110  # of the limit


class CannotRestore(AudioCacheError):
    """Audio is lost, and its job cannot be read to synthesize it again."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished blob in Redis to be stored. `size` is its bytes, as counted in `unpersisted`."""

    hash: str
    alias: str
    size: int
    job: bytes

    @classmethod
    def from_fields(cls, fields: Fields) -> "Finished":
        try:
            hash_hex, size = fields[b"hash"].decode("ascii"), int(fields[b"size"])
            alias = fields[b"alias"].decode("ascii")
            key = bytes.fromhex(hash_hex)
        except (KeyError, ValueError) as exc:
            raise UnreadableEntry("no hash or size") from exc
        if key.hex() != hash_hex or len(key) != 32 or size < 0:
            raise UnreadableEntry("no proper hash or size")
        return cls(hash_hex, alias, size, fields.get(b"job", b""))

    @property
    def key(self) -> bytes:
        return bytes.fromhex(self.hash)

    @property
    def hot_key(self) -> str:
        return keys.audio(self.hash)


class PersistHandler(Handler[Finished | Order]):
    """Writes to audio stores whose writer is open. One process writes, so no write waits."""

    streams = (PERSIST_STREAM, ORDERS_STREAM)
    group = "persister"
    batch_size = settings.PERSIST_BATCH_SIZE
    pause = settings.COLD_PAUSE_SECONDS
    refusals = (CannotRestore,)
    on_acknowledge = PERSISTED
    private_fields = frozenset({b"job"})  # holds the text

    def __init__(self, stores: Mapping[str, Store], redis: Redis) -> None:
        self.stores = stores
        self.redis = redis
        self._untidy = dict.fromkeys(stores, True)  # aliases with entries to evict or space to free
        self._full: set[str] = set()

    @cached_property
    def restore(self) -> Callable[[Redis, bytes], object]:
        """The hook that queues the job of lost audio again. ValueError: the job cannot be read."""
        hook: Callable[[Redis, bytes], object] = import_string(settings.AUDIO_LOST_HOOK)
        return hook

    def parse(self, stream: str, fields: Fields) -> Finished | Order:
        event: Finished | Order
        event = Finished.from_fields(fields) if stream == PERSIST_STREAM else Order.from_fields(fields)
        if event.alias not in self.stores:
            raise UnreadableEntry("for an unknown alias")
        return event

    def acknowledge_args(self, event: Finished | Order) -> Sequence[str | bytes | int]:
        if isinstance(event, Order):
            return ()
        return (event.size, event.hash, settings.HOT_AUDIO_SECONDS)

    def source(self, fields: Fields) -> bytes | None:
        return fields.get(b"user")

    def handle(self, batch: Batch[Finished | Order]) -> BatchResult[Finished | Order]:
        orders: dict[str, list[Order]] = defaultdict(list)
        finished: dict[str, list[Finished]] = defaultdict(list)
        for event in batch.events:
            if isinstance(event, Order):
                orders[event.alias].append(event)
            else:
                finished[event.alias].append(event)
        # Every order given before the last commit is in this batch or was applied.
        caught_up = ORDERS_STREAM in batch.drained
        lost: list[Finished] = []
        for alias in sorted({*finished, *orders}):
            lost += self._store(alias, finished[alias], orders[alias], caught_up)
        for event in lost:
            self._restore_lost(event)
        return BatchResult(done=batch.entries)

    @property
    def needs_maintenance(self) -> bool:
        return any(self._untidy.values())

    def maintain(self) -> None:
        """Evict from each store and return its unused space, in steps that delay no write."""
        for alias in self.stores:
            self._tidy(alias)

    def _store(
        self, alias: str, finished: Sequence[Finished], orders: Sequence[Order], caught_up: bool
    ) -> list[Finished]:
        """Store blobs and apply orders in parts. Return the lost: missing or damaged in Redis."""
        lost: list[Finished] = []
        for part in _by_bytes(finished, settings.PERSIST_BATCH_BYTES) or ([[]] if orders else []):
            puts = self._fetch(part)
            lost += [event for event in part if event.hash not in puts]
            self._write(alias, list(puts.values()), orders, caught_up)
            # Touches and pins may concern any part; removals must not reach entries stored after them.
            orders = [order for order in orders if not order.kind.removes]
            caught_up = False  # the marks of this part are newer than the orders that were read
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
            replace_damaged(store, self.redis, exc)
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
            logger.warning("%s: %d entries not pinned: half of the limit is", alias, change.refused_pins)

    def _report_full(self, alias: str, is_full: bool) -> None:
        FULL.labels(alias).set(is_full)
        if is_full:
            if alias not in self._full:
                logger.error("%s is far over its limit: its entries are pinned or were just used", alias)
            self._full.add(alias)
            self.redis.set(keys.STORAGE_FULL, 1, ex=FULL_SECONDS)
        elif alias in self._full:
            self._full.discard(alias)
            if not self._full:
                self.redis.delete(keys.STORAGE_FULL)

    def _tidy(self, alias: str) -> None:
        """One step: evict, and once no entry is left to evict, free space."""
        if self._untidy[alias] or alias in self._full:
            self._write(alias, [], [], caught_up=True)  # every stream was found empty
        if not self._untidy[alias]:
            self._untidy[alias] = self.stores[alias].free_space()

    def _restore_lost(self, event: Finished) -> None:
        """Queue the job of lost audio again, so that those who wait for it or ask for it later get it."""
        self.redis.delete(event.hot_key)  # a damaged value
        if self.stores[event.alias].get(event.hash) is not None:
            return  # stored by an earlier attempt
        LOST.inc()
        logger.error("%s was lost before it was stored; it will be synthesized again", event.hash)
        try:
            self.restore(self.redis, event.job)
        except ValueError as exc:
            raise CannotRestore(event.hash) from exc


def replace_damaged(store: Store, redis: Redis, reason: Exception) -> None:
    """Set corrupt storage aside and continue with an empty one. Its audio is synthesized again on request."""
    aside = store.replace_damaged()
    SET_ASIDE.labels(store.alias).inc()
    logger.critical(
        "%s is corrupt (%s) and was set aside as %s; the service goes on with an empty store."
        " %d pinned entries are listed in %s: manage.py warm_audio --lost synthesizes them again.",
        store.alias,
        reason,
        aside.place,
        aside.pinned,
        aside.pinned_list,
    )
    try:
        redis.incr(f"generation:{store.alias}")
    except RedisError as exc:
        logger.warning("cannot count the replacement in Redis: %s", type(exc).__name__)


def replacements(redis: Redis, alias: str) -> int:
    """The number of times that corrupt storage of an alias was replaced."""
    return int(redis.get(f"generation:{alias}") or 0)


def backlog(redis: Redis) -> dict[str, int]:
    """Audio and orders that wait in Redis for run_persister."""
    return {
        "unpersisted_bytes": int(redis.get(keys.UNPERSISTED) or 0),
        "unpersisted_limit": settings.UNPERSISTED_LIMIT,
        "persist": redis.xlen(PERSIST_STREAM),
        "orders": redis.xlen(ORDERS_STREAM),
    }


def _by_bytes(finished: Iterable[Finished], limit: int) -> list[list[Finished]]:
    """Parts of at most `limit` bytes each; larger audio is a part of its own."""
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
