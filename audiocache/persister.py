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

from audiocache import blob
from audiocache.errors import AudioCacheError
from audiocache.orders import ORDERS_STREAM, Order
from audiocache.store import AudioStore
from audiocache.writer import Put
from config import metrics
from config.dead_letters import replay_script
from config.streams import Fields, StreamConsumer, UnreadableEntry

logger = logging.getLogger(__name__)

PERSIST_STREAM = "persist"
ALIAS = "audio"  # where the audio of blocks goes

STORED = metrics.counter("audiocache_stored", "Pieces of audio written to disk", ["alias"])
EVICTED = metrics.counter("audiocache_evicted", "Pieces of audio evicted", ["alias"])
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


class PersistConsumer(StreamConsumer[Finished | Order]):
    """The only writer of the audio files, so that no write ever waits for another.

    The stores given to it hold the right to write.
    """

    streams = (PERSIST_STREAM, ORDERS_STREAM)
    group = "persister"
    batch_size = settings.PERSIST_BATCH_SIZE
    pause = settings.COLD_PAUSE_SECONDS
    refusals = (CannotRestore,)
    follow_up = PERSISTED
    private_fields = frozenset({b"job"})  # holds the text

    def __init__(self, stores: Mapping[str, AudioStore], **options: Any) -> None:
        super().__init__(**options)
        self.stores = stores

    @cached_property
    def restore(self) -> Callable[[Redis, bytes], object]:
        """Takes the job of audio that was lost; ValueError: it cannot be read."""
        hook: Callable[[Redis, bytes], object] = import_string(settings.AUDIO_LOST_HOOK)
        return hook

    def parse(self, stream: str, fields: Fields) -> Finished | Order:
        if stream == PERSIST_STREAM:
            return Finished.from_fields(fields)
        order = Order.from_fields(fields)
        if order.alias not in self.stores:
            raise UnreadableEntry("an order for no store of ours")
        return order

    def settle_args(self, event: Finished | Order) -> Sequence[str | bytes | int]:
        if isinstance(event, Order):
            return ()
        return (event.size, event.hash, settings.HOT_AUDIO_SECONDS)

    def handle(self, events: Sequence[Finished | Order]) -> None:
        orders: dict[str, list[Order]] = defaultdict(list)
        finished: list[Finished] = []
        for event in events:
            if isinstance(event, Order):
                orders[event.alias].append(event)
            else:
                finished.append(event)
        lost = self._store(finished, orders.pop(ALIAS, []))
        for alias, others in orders.items():
            self._write(alias, [], others)
        for event in lost:
            self._make_again(event)

    def _store(self, finished: Sequence[Finished], orders: Sequence[Order]) -> list[Finished]:
        """Return what could not be stored, since it is not there or not what it should be."""
        lost: list[Finished] = []
        for part in _by_bytes(finished, settings.PERSIST_BATCH_BYTES) or ([[]] if orders else []):
            puts = self._fetch(part)
            lost += [event for event in part if event.hash not in puts]
            self._write(ALIAS, list(puts.values()), orders)
            # Touches and pins may be meant for any part; a delete may not hit what came after it.
            orders = [order for order in orders if not order.kind.removes]
        return lost

    def _fetch(self, finished: Sequence[Finished]) -> dict[str, Put]:
        if not finished:
            return {}
        values: Any = self.redis.mget([event.hot_key for event in finished])
        puts = ((event.hash, _put(event, value)) for event, value in zip(finished, values, strict=True))
        return {hash_hex: put for hash_hex, put in puts if put}

    def _write(self, alias: str, puts: Sequence[Put], orders: Sequence[Order]) -> None:
        change = self.stores[alias].write_batch(puts, orders)
        STORED.labels(alias).inc(change.stored)
        EVICTED.labels(alias).inc(change.evicted)

    def _make_again(self, event: Finished) -> None:
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
