"""FileStore: two files per entry, and an index in JSON. Replacing the index commits a batch."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from audiocache import aliases, blob
from audiocache.errors import StoreDamaged, StoreMissing, StoreUnavailable, WriterBusy
from audiocache.orders import Kind, Order
from audiocache.records import Change, Put, Record, SetAside, Stats, StoredAudio
from audiocache.store import PROTECTED_MS, Store


@dataclass(frozen=True, slots=True)
class Entry:
    size: int
    sha256: str
    used_ms: int
    pinned: bool = False
    marked: bool = False


Index = dict[str, Entry]


class FileStore(Store):
    """Reads the whole index for each call, and audio from a file: simple, and slow with many entries."""

    def __init__(
        self,
        folder: Path,
        limit: int,
        *,
        alias: str = aliases.AUDIO,
        report_damaged: Callable[[str], None] = lambda hash_hex: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.alias = alias
        self.limit = limit
        self.folder = folder
        self._report_damaged = report_damaged
        self._clock = clock
        self._lock: int | None = None
        self._goal: int | None = None

    # --- Reads ----------------------------------------------------------------------------------------------

    def get(self, hash_hex: str) -> StoredAudio | None:
        entry = self._known([hash_hex]).get(hash_hex)
        found = entry and self._read(hash_hex, entry)
        if entry and not found:
            self._report_damaged(hash_hex)
        return found

    def get_range(self, hash_hex: str, start: int, stop: int | None = None) -> StoredAudio | None:
        found = self.get(hash_hex)
        return found and StoredAudio(found.header, found.audio[start:stop])

    def headers(self, hashes: Sequence[str]) -> dict[str, bytes]:
        headers = {}
        for hash_hex, entry in self._announced(hashes).items():
            meta = _content(self._file(hash_hex, "meta"))
            if meta is not None and blob.header_fits(meta, bytes.fromhex(entry.sha256)):
                headers[hash_hex] = meta
            else:
                self._report_damaged(hash_hex)
        return headers

    def exists(self, hash_hex: str) -> bool:
        return bool(self.exists_many([hash_hex]))

    def exists_many(self, hashes: Sequence[str]) -> set[str]:
        return set(self._announced(hashes))

    def pins(self, hashes: Sequence[str]) -> dict[str, bool]:
        return {hash_hex: entry.pinned for hash_hex, entry in self._known(hashes).items()}

    def stats(self) -> Stats:
        index = self._index()
        return Stats(_bytes(index.values()), len(index), _pinned_bytes(index), self.limit)

    def oldest_access(self) -> float | None:
        return min(
            (entry.used_ms / 1000 for entry in self._index().values() if not entry.pinned), default=None
        )

    def space(self) -> Mapping[str, int]:
        return {"file_bytes": sum(path.stat().st_size for path in self.folder.glob("*"))}

    def records(self) -> Iterator[Record]:
        for hash_hex, entry in self._index().items():
            used = None if entry.marked else entry.used_ms / 1000
            yield Record(hash_hex, entry.size, entry.pinned, used)

    def is_undamaged(self, hash_hex: str) -> bool:
        entry = self._index().get(hash_hex)
        return entry is None or self._read(hash_hex, entry) is not None

    def wrong_totals(self) -> list[str]:
        return []  # they are sums

    def lost_pins(self) -> list[str]:
        lists = sorted(self.folder.parent.glob(f"{self.folder.name}.pinned-*"))
        return list(dict.fromkeys(line for path in lists for line in path.read_text().split()))

    # --- Storage --------------------------------------------------------------------------------------------

    def prepare(self) -> bool:
        if self._index_file.exists():
            return False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreMissing(f"{self.folder} cannot be created: {exc.strerror}") from exc
        had_lock = self._lock is not None
        self._take_lock()
        self._commit({})
        if not had_lock:
            self.close()
        return True

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- Writes ---------------------------------------------------------------------------------------------

    def open_writer(self) -> None:
        if not self.folder.parent.exists():
            raise StoreMissing(f"{self.folder} does not exist; run: manage.py init_audiocache")
        self._take_lock()
        if not self._index_file.exists():
            if not list(self.folder.parent.glob(f"{self.folder.name}.damaged-*")):
                raise StoreMissing(f"{self.folder} does not exist; run: manage.py init_audiocache")
            self.prepare()  # a replacement was interrupted
        self._index()

    def write_batch(self, puts: Sequence[Put], orders: Sequence[Order], *, caught_up: bool = True) -> Change:
        if self._lock is None:
            raise RuntimeError("open_writer was not called")
        before = self._index()
        index, change, now_ms = dict(before), Change(), int(self._clock() * 1000)
        for order in orders:
            if order.kind.removes:
                self._apply(order, index, change, now_ms)
        self._insert(puts, index, change, now_ms)
        for order in orders:
            if not order.kind.removes:
                self._apply(order, index, change, now_ms)
        self._evict(index, change, now_ms, caught_up)
        change.total = _bytes(index.values())
        change.bytes = change.total - _bytes(before.values())
        change.n = len(index) - len(before)
        change.pinned_bytes = _pinned_bytes(index) - _pinned_bytes(before)
        self._commit(index)
        for hash_hex in before.keys() - index.keys():
            for part in ("meta", "audio"):
                self._file(hash_hex, part).unlink(missing_ok=True)
        return change

    def free_space(self) -> bool:
        return False  # the system has it as soon as a file is removed

    def replace_damaged(self) -> SetAside:
        self._take_lock()
        pins: list[str] = []
        with suppress(StoreDamaged):
            pins = [hash_hex for hash_hex, entry in self._index().items() if entry.pinned]
        stamp = f"{time.time_ns()}"
        pinned_list = self.folder.with_name(f"{self.folder.name}.pinned-{stamp}")
        pinned_list.write_text("\n".join(pins))
        moved = self.folder.rename(self.folder.with_name(f"{self.folder.name}.damaged-{stamp}"))
        self.prepare()
        return SetAside(str(moved), str(pinned_list), len(pins))

    def _apply(self, order: Order, index: Index, change: Change, now_ms: int) -> None:
        if order.kind is Kind.PRUNE:
            self._goal = order.size if self._goal is None else min(self._goal, order.size)
            return
        for key, at_ms in order.times():
            hash_hex = key.hex()
            entry = index.get(hash_hex)
            if entry is None:
                continue
            match order.kind:
                case Kind.TOUCH:
                    used_ms = max(entry.used_ms, min(at_ms, now_ms))
                    index[hash_hex] = replace(entry, used_ms=used_ms, marked=False)
                case Kind.PIN if not entry.pinned:
                    if _pinned_bytes(index) + entry.size > self.limit // 2:
                        change.refused_pins += 1
                    else:
                        index[hash_hex] = replace(entry, pinned=True, marked=False)
                case Kind.UNPIN:
                    index[hash_hex] = replace(entry, pinned=False)
                case Kind.DELETE:
                    del index[hash_hex]
                case Kind.VERIFY if not self.is_undamaged(hash_hex):
                    del index[hash_hex]

    def _insert(self, puts: Sequence[Put], index: Index, change: Change, now_ms: int) -> None:
        for put in {put.key: put for put in puts}.values():
            hash_hex = put.key.hex()
            entry = index.get(hash_hex)
            if entry is not None and self.is_undamaged(hash_hex):
                index[hash_hex] = replace(entry, used_ms=now_ms, marked=False)
                continue
            _write(self._file(hash_hex, "meta"), put.meta)
            _write(self._file(hash_hex, "audio"), put.audio)
            index[hash_hex] = Entry(len(put.audio), put.sha256.hex(), now_ms)
            change.stored += 1

    def _evict(self, index: Index, change: Change, now_ms: int, caught_up: bool) -> None:
        goal = self.limit if self._goal is None else min(self._goal, self.limit)
        excess = _bytes(index.values()) - goal
        by_age = sorted(index, key=lambda hash_hex: index[hash_hex].used_ms)
        marked = [hash_hex for hash_hex in by_age if index[hash_hex].marked]
        while caught_up and excess > 0 and marked:
            excess -= index.pop(marked.pop(0)).size
            change.evicted += 1
        if excess <= 0:
            index.update({hash_hex: replace(index[hash_hex], marked=False) for hash_hex in marked})
            self._goal = None
            return
        excess -= _bytes(index[hash_hex] for hash_hex in marked)
        for hash_hex in by_age:
            entry = index.get(hash_hex)
            if excess <= 0 or entry is None or entry.used_ms >= now_ms - PROTECTED_MS:
                continue
            if not entry.pinned and not entry.marked:
                index[hash_hex] = replace(entry, marked=True)
                marked.append(hash_hex)
                excess -= entry.size
        change.more = bool(marked)
        if not change.more:
            self._goal = None

    # --- Files ----------------------------------------------------------------------------------------------

    @property
    def _index_file(self) -> Path:
        return self.folder / "index.json"

    def _file(self, hash_hex: str, part: str) -> Path:
        return self.folder / f"{hash_hex}.{part}"

    def _index(self) -> Index:
        try:
            text = self._index_file.read_text()
            return {hash_hex: Entry(**fields) for hash_hex, fields in json.loads(text).items()}
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise StoreUnavailable(f"{self.alias}: {exc}") from exc
        except (ValueError, TypeError, AttributeError) as exc:
            raise StoreDamaged(f"{self.alias}: {exc}") from exc

    def _read(self, hash_hex: str, entry: Entry) -> StoredAudio | None:
        """Header and audio, unless one of them is damaged or missing."""
        meta, audio = (_content(self._file(hash_hex, part)) for part in ("meta", "audio"))
        if meta is None or audio is None or len(audio) != entry.size:
            return None
        return StoredAudio(meta, audio) if blob.is_whole(meta, bytes.fromhex(entry.sha256), audio) else None

    def _known(self, hashes: Sequence[str]) -> Index:
        try:
            index = self._index()
        except StoreDamaged:
            for hash_hex in hashes:
                self._report_damaged(hash_hex)
            return {}
        return {hash_hex: index[hash_hex] for hash_hex in hashes if hash_hex in index}

    def _announced(self, hashes: Sequence[str]) -> Index:
        return {hash_hex: entry for hash_hex, entry in self._known(hashes).items() if not entry.marked}

    def _commit(self, index: Index) -> None:
        content = json.dumps({hash_hex: asdict(entry) for hash_hex, entry in index.items()})
        _write(self._index_file, content.encode())

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        path = self.folder.with_name(f"{self.folder.name}.lock")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise WriterBusy(f"another process writes {self.alias}") from None
        self._lock = fd


def _write(path: Path, content: bytes | memoryview) -> None:
    """Replace a file durably."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _content(path: Path) -> bytes | None:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def _bytes(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries)


def _pinned_bytes(index: Index) -> int:
    return _bytes(entry for entry in index.values() if entry.pinned)
