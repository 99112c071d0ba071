"""The protocol of audio stores, and the store of each alias in this process."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string
from redis.exceptions import RedisError

from audiocache import orders
from audiocache.orders import Order
from audiocache.records import Change, Put, Record, SetAside, Stats, StoredAudio
from config.observability import metrics
from config.redis import clients as redis_clients

logger = logging.getLogger(__name__)

DAMAGED = metrics.counter("audiocache_wrong", "Entries whose header or audio is damaged", ["alias"])

__all__ = ["PROTECTED_MS", "Store", "StoredAudio", "store_for"]

# Entries used or announced this recently are not evicted: clients fetch announced audio within minutes.
PROTECTED_MS = 300_000


class Store(Protocol):
    """Audio by hash (64 hex digits, of the content's description: an entry never changes).

    AUDIO_STORES names the class for each alias. It is called with the keywords `alias` and `report_damaged`
    and with the options of the settings, and opens nothing: web processes, commands and run_persister
    construct it before the storage exists. `report_damaged` takes the hash of a damaged entry, counts it and
    orders its verification; it never raises. `tests/audiocache/store_contract.py` tests implementations.

    *Reads* may be called in every process and from any thread, also while another process writes, and never
    wait for a write. They see a batch whole or not at all, and every committed batch. Without storage they
    find nothing. They raise StoreUnavailable while the storage cannot be read; retry later.

    *Writes* may be called by the process that has called `open_writer`, which is run_persister, from the
    thread that called it. Each is repeatable and changes all or nothing.

    *Eviction* is part of writing. Each batch that leaves more than `limit` bytes marks the entries with the
    oldest access, and a later batch removes them, unless they were touched or pinned meanwhile. Reads that
    announce audio (`headers`, `exists`, `exists_many`) skip marked entries, so no entry is removed between
    its announcement and its retrieval; `get` finds them. Pinned entries and those used within PROTECTED_MS
    are never marked.
    """

    alias: str
    limit: int  # bytes of audio that eviction keeps

    # --- Reads ----------------------------------------------------------------------------------------------

    def get(self, hash_hex: str) -> StoredAudio | None:
        """The audio, its checksum verified. Damaged audio is reported, and None."""

    def get_range(self, hash_hex: str, start: int, stop: int | None = None) -> StoredAudio | None:
        """Header and the bytes `audio[start:stop]`, with the bounds of a Python slice.

        None where `get` would find nothing. A store that cannot verify a part must read the whole.
        """

    def headers(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """Headers of the stored hashes, without those marked for eviction. Reads no audio.

        Damaged headers are reported, and absent. Any number of hashes.
        """

    def exists(self, hash_hex: str) -> bool:
        """Whether the hash is stored and not marked for eviction."""

    def exists_many(self, hashes: Sequence[str]) -> set[str]:
        """The stored hashes among these, without those marked for eviction."""

    def pins(self, hashes: Sequence[str]) -> dict[str, bool]:
        """{hash: pinned} of stored entries, including those marked for eviction."""

    def stats(self) -> Stats:
        """Totals as of the last batch. Constant time: not a sum over the entries."""

    def oldest_access(self) -> float | None:
        """Last access of the entry to be evicted next, in seconds since 1970, or None."""

    def space(self) -> Mapping[str, int]:
        """Bytes that the storage occupies, by kind. For operators; the names end in `_bytes`."""

    def records(self) -> Iterator[Record]:
        """All entries, marked ones included, in any order, without their audio.

        Each entry that exists from the first step to the last is yielded once; of the others, some may be. No
        lock or snapshot is held between steps. Raises StoreDamaged where the storage is corrupt.
        """

    def is_undamaged(self, hash_hex: str) -> bool:
        """Whether an entry matches its header, checksum and size, or is absent. Reports nothing.

        Raises StoreDamaged where the storage is corrupt.
        """

    def wrong_totals(self) -> list[str]:
        """One sentence for each total of `stats` that differs from the entries."""

    def lost_pins(self) -> list[str]:
        """Hashes of the entries that were pinned in storage set aside, the oldest first."""

    # --- Storage --------------------------------------------------------------------------------------------

    def prepare(self) -> bool:
        """Create the storage or migrate it. Repeatable. Returns whether it was not ready before.

        Raises WriterBusy while another process writes, StoreMissing where it cannot be created, and
        StoreUnavailable where it exists and cannot be read: run_persister replaces corrupt storage.
        """

    def close(self) -> None:
        """Release everything, the right to write included. No thread may be reading. Reads may reopen it."""

    # --- Writes ---------------------------------------------------------------------------------------------

    def open_writer(self) -> None:
        """Take the exclusive right to write, until `close` or the end of the process.

        Finishes a `replace_damaged` that was interrupted. Raises WriterBusy while another process has the
        right, StoreMissing before `prepare`, and StoreDamaged, after which `replace_damaged` may be called.
        """

    def write_batch(self, puts: Sequence[Put], orders: Sequence[Order], *, caught_up: bool = True) -> Change:
        """Apply one batch atomically and durably: once it returns, a crash loses nothing of it.

        Removals (DELETE, VERIFY) come first, then new entries, then the other orders, which may concern new
        entries, in their order; eviction comes last. An entry that is stored already counts as touched and
        keeps its pin; a damaged one is replaced. Touches move the last access forward, to now at most. Pins
        that would exceed half of the limit are refused and counted. VERIFY deletes damaged entries. PRUNE
        evicts down to a size once, by this batch and those that follow. Orders for absent entries do nothing.

        `caught_up`: every touch ordered before the last batch was applied or is in this one, so that entries
        marked by then may be removed. `Change.more` tells whether another batch, an empty one included, would
        evict more.

        Raises StoreUnavailable, with nothing changed, or StoreDamaged; RuntimeError without `open_writer`.
        """

    def free_space(self) -> bool:
        """Return some unused space to the system, in milliseconds. Returns whether more could be returned."""

    def replace_damaged(self) -> SetAside:
        """Set the storage aside, list the pins that can be read, and start with empty storage.

        Takes the right to write if this process does not have it; may raise WriterBusy.
        """


@cache
def store_for(alias: str) -> Store:
    """This process's store of an alias, as the settings describe it."""

    def report_damaged(hash_hex: str) -> None:
        DAMAGED.labels(alias).inc()
        logger.error("%s: damaged, treated as absent: %s", alias, hash_hex)
        try:
            with redis_clients.sync() as redis:
                orders.verify(redis, alias, [hash_hex])
        except RedisError as exc:  # the next read finds it damaged again
            logger.warning("%s: cannot order the removal of %s: %s", alias, hash_hex, type(exc).__name__)

    description: Mapping[str, Any] = settings.AUDIO_STORES[alias]
    store: Store = import_string(description["class"])(
        alias=alias, report_damaged=report_damaged, **description["options"]
    )
    return store
