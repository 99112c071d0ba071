"""The door to finished audio: one AudioStore for each alias. Anybody may read, only run_persister writes."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from redis.exceptions import RedisError

from audiocache import orders
from audiocache.errors import StoreDamaged
from audiocache.integrity import header_fits, is_whole
from audiocache.sqlite import recovery, schema
from audiocache.sqlite.reader import Reader
from audiocache.sqlite.rows import Put
from audiocache.sqlite.writer import Change, Writer
from config.observability import metrics
from config.redis import clients as redis_clients

logger = logging.getLogger(__name__)

WRONG = metrics.counter("audiocache_wrong", "Entries whose bytes are not what they should be", ["alias"])

AT_ONCE = 500  # hashes in one statement
WHOLE = "SELECT key, meta, sha256, data FROM entry LEFT JOIN payload USING (id) WHERE key"


class Found(NamedTuple):
    """One piece of audio and the header that stands in front of it in a blob."""

    header: bytes
    audio: bytes


@dataclass(frozen=True, slots=True)
class Stats:
    """What a file holds: audio in bytes, and the limit that eviction keeps it to."""

    bytes: int
    entries: int
    pinned_bytes: int
    limit: int


class AudioStore:
    """Audio by hash (64 hex digits) in one file. Reads may come from any thread and never wait for a write.

    Reads raise StoreUnavailable when the file cannot be read now. While there is no file, all is a miss, and
    so is what lies on a page that is corrupt; run_persister is told to look at it.
    """

    def __init__(
        self,
        path: Path,
        limit: int,
        *,
        alias: str = "audio",
        report_wrong: Callable[[str], None] = lambda hash_hex: None,
        clock: Callable[[], float] = time.time,
        busy_seconds: float = 5.0,
    ) -> None:
        self.alias = alias
        self.path = path
        self.limit = limit
        self._report_wrong = report_wrong
        self._reader = Reader(path)
        self._writer = Writer(path, limit, clock=clock, busy_seconds=busy_seconds)

    def get(self, hash_hex: str) -> Found | None:
        """The audio, its checksum verified. What proves wrong is reported and not there."""
        rows = self._rows(f"{WHOLE} = ?", [hash_hex])
        return self._verified(*rows[0]) if rows else None

    def get_many(self, hashes: Sequence[str]) -> dict[str, Found]:
        """The same for each of those that are there. All of it is in memory at once."""
        found: dict[str, Found] = {}
        for some in _parts(hashes):
            for row in self._rows(f"{WHOLE} IN ({_marks(some)})", some):
                if audio := self._verified(*row):
                    found[row[0].hex()] = audio
        return found

    def header(self, hash_hex: str) -> bytes | None:
        return self.headers([hash_hex]).get(hash_hex)

    def headers(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """The headers of those that are there, and are not about to leave. Reads no audio."""
        found: dict[str, bytes] = {}
        for key, meta, sha256 in self._rows_of("key, meta, sha256", hashes):
            if header_fits(meta, sha256):
                found[key.hex()] = meta
            else:
                self._wrong([key.hex()])
        return found

    def exists(self, hash_hex: str) -> bool:
        return bool(self.exists_many([hash_hex]))

    def exists_many(self, hashes: Sequence[str]) -> set[str]:
        return {key.hex() for (key,) in self._rows_of("key", hashes)}

    def pins(self, hashes: Sequence[str]) -> dict[str, bool]:
        """Of those that are there, also of what is about to leave: whether they are pinned."""
        return {key.hex(): bool(pinned) for key, pinned in self._rows_of("key, pinned", hashes, least_age=0)}

    def stats(self) -> Stats:
        rows = self._rows("SELECT bytes, n, pinned_bytes FROM stat", [])
        total, entries, pinned = rows[0] if rows else (0, 0, 0)
        return Stats(total, entries, pinned, self.limit)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """For looking into the file. Raises StoreUnavailable or StoreDamaged."""
        return self._reader.rows(sql, parameters)

    def free_bytes(self) -> int:
        """Pages that the file has and nothing uses."""
        return sum(
            free * size
            for (free,), (size,) in zip(
                self.rows("PRAGMA freelist_count"), self.rows("PRAGMA page_size"), strict=True
            )
        )

    def oldest_access(self) -> float | None:
        """When that was used which leaves next, in seconds since 1970; None: nothing may leave."""
        found = self.rows(
            "SELECT last_access FROM entry WHERE pinned = 0 AND last_access > 1"
            " ORDER BY last_access, id LIMIT 1"
        )
        return found[0][0] / 1000 if found else None

    def open_writer(self) -> None:
        """Become the one process that writes this file. Raises WriterBusy, StoreMissing or StoreDamaged."""
        self._writer.open()

    def write_batch(
        self, puts: Sequence[Put], orders: Sequence[orders.Order], *, caught_up: bool = True
    ) -> Change:
        """Apply one batch in one transaction: one fsync, however many blocks. Repeatable; see Writer."""
        return self._writer.write_batch(puts, orders, caught_up=caught_up)

    def give_back(self) -> bool:
        """See Writer."""
        return self._writer.give_back()

    def begin_anew(self) -> recovery.SetAside:
        """Set the corrupt file aside and make an empty one. Only by the one process that writes."""
        self._writer.lock()
        self._writer.disconnect()
        aside = recovery.set_aside(self.path)
        schema.build(self.alias)
        return aside

    def begin_if_interrupted(self) -> None:
        """Make the file if a process died while it did `begin_anew`. Only by the one process that writes."""
        self._writer.lock()
        if recovery.finish(self.path):
            schema.build(self.alias)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def _rows_of(self, columns: str, hashes: Sequence[str], least_age: int = 1) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for some in _parts(hashes):
            which = f"key IN ({_marks(some)}) AND last_access >= {least_age}"
            rows += self._rows(f"SELECT {columns} FROM entry WHERE {which}", some)  # noqa: S608
        return rows

    def _verified(self, key: bytes, meta: bytes, sha256: bytes, data: bytes | None) -> Found | None:
        if data is not None and is_whole(meta, sha256, data):
            return Found(meta, data)
        self._wrong([key.hex()])
        return None

    def _rows(self, sql: str, hashes: Sequence[str]) -> list[Any]:
        try:
            return self._reader.rows(sql, [bytes.fromhex(hash_hex) for hash_hex in hashes])
        except StoreDamaged:
            self._wrong(hashes)
            return []

    def _wrong(self, hashes: Sequence[str]) -> None:
        WRONG.labels(self.alias).inc(len(hashes))
        logger.error("%s: damaged and counted as absent: %s", self.alias, ", ".join(hashes))
        for hash_hex in hashes:
            self._report_wrong(hash_hex)


def _parts(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    return (hashes[start : start + AT_ONCE] for start in range(0, len(hashes), AT_ONCE))


def _marks(hashes: Sequence[str]) -> str:
    return ",".join("?" * len(hashes))


@cache
def store_for(alias: str) -> AudioStore:
    """This process's store for an alias."""

    def report_wrong(hash_hex: str) -> None:
        try:
            with redis_clients.sync() as redis:
                orders.verify(redis, alias, [hash_hex])
        except RedisError as exc:  # it is found wrong again at the next read
            logger.warning("%s: cannot order %s to be removed: %s", alias, hash_hex, type(exc).__name__)

    path = Path(settings.DATABASES[alias]["NAME"])
    return AudioStore(path, settings.AUDIO_LIMITS[alias], alias=alias, report_wrong=report_wrong)
