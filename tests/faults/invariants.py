"""What must be true after a drill: each a function that names what breaks it by id or hash, never by text."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from redis import Redis

from audiocache.sqlite import SqliteStore
from config.database.sqlite import sqlite3
from tests.faults.listeners import EXPECTED, Notes

STREAMS = {"results": "results", "billing": "billing", "persist": "persister", "orders": "persister"}
LEFT_OVER = ("job:*", "inflight:*", "subs:*", "res:*", "queue:*", "leases", "reserved:*")


@dataclass(frozen=True)
class Scene:
    """Everything that can be looked at when all is quiet."""

    notes: Notes
    redis: Redis
    database: psycopg.Connection
    audio_file: Path

    def finished(self) -> set[str]:
        """Ids of the jobs that were finalized."""
        return {member.decode() for member in self.redis.zrange("finished", 0, -1)}

    def ledger(self) -> dict[str, str]:
        """Hash by event id."""
        return dict(self.database.execute("SELECT event_id, hash FROM billing_ledgerentry").fetchall())

    def announced(self) -> set[str]:
        return {wish.work.hash for wish in self.notes.wishes if wish.state == "cached"}


def announced_audio_was_readable(scene: Scene) -> Iterable[str]:
    return [f"{hash_} was announced and not there" for hash_ in scene.notes.unreadable]


def finished_jobs_are_charged(scene: Scene) -> Iterable[str]:
    return [f"{id_} was finished and not charged" for id_ in scene.finished() - scene.ledger().keys()]


def only_finished_jobs_are_charged(scene: Scene) -> Iterable[str]:
    return [f"{id_} was charged and not finished" for id_ in scene.ledger().keys() - scene.finished()]


def what_was_heard_is_charged(scene: Scene) -> Iterable[str]:
    return [f"{hash_} was heard for nothing" for hash_ in scene.announced() - set(scene.ledger().values())]


def nothing_is_charged_twice(scene: Scene) -> Iterable[str]:
    times = Counter(scene.ledger().values())
    return [f"{hash_} was charged {count} times" for hash_, count in times.items() if count > 1]


def failures_are_not_charged(scene: Scene) -> Iterator[str]:
    ledger = scene.ledger()
    fails = {wish.work.hash for wish in scene.notes.wishes if wish.kind}
    yield from (f"{id_} failed and was charged" for id_, hash_ in ledger.items() if hash_ in fails)


def cancelled_jobs_are_not_charged(scene: Scene) -> Iterator[str]:
    yield from (f"{id_} was cancelled and charged" for id_ in scene.notes.dropped & scene.ledger().keys())


def counters_are_sums_of_the_ledger(scene: Scene) -> Iterator[str]:
    counted = scene.database.execute(
        "SELECT user_id, coalesce(sum(total) FILTER (WHERE usage_type = 'standard'), 0)::bigint,"
        " coalesce(sum(total) FILTER (WHERE usage_type = 'premium'), 0)::bigint"
        " FROM billing_usageperiod WHERE total > 0 GROUP BY user_id"
    ).fetchall()
    summed = scene.database.execute(
        "SELECT user_id, coalesce(sum(cost) FILTER (WHERE usage_type = 'standard'), 0)::bigint,"
        " coalesce(sum(cost) FILTER (WHERE usage_type = 'premium'), 0)::bigint"
        " FROM billing_ledgerentry GROUP BY user_id"
    ).fetchall()
    yield from (f"account {row[0]}: ledger and counters differ" for row in set(counted) ^ set(summed))


def finished_audio_is_on_disk(scene: Scene) -> Iterator[str]:
    finished = scene.finished()
    return _missing(scene, {hash_ for id_, hash_ in scene.ledger().items() if id_ in finished})


def what_was_heard_is_on_disk(scene: Scene) -> Iterator[str]:
    return _missing(scene, scene.announced())


def _missing(scene: Scene, hashes: Iterable[str]) -> Iterator[str]:
    store = SqliteStore(scene.audio_file, 1 << 40)
    for hash_ in hashes:
        found = store.get(hash_)
        if found is None:
            yield f"{hash_} is not on disk"
        elif scene.notes.sums.get(hash_, digest := hashlib.sha256(found.audio).digest()) != digest:
            yield f"{hash_} is other audio on disk than it was in Redis"
    store.close()


def totals_are_sums_of_the_entries(scene: Scene) -> Iterator[str]:
    with sqlite3.connect(scene.audio_file) as db:
        stat = db.execute("SELECT bytes, n, pinned_bytes FROM stat").fetchall()
        sums = db.execute(
            "SELECT coalesce(sum(size), 0), count(*), coalesce(sum(size * pinned), 0) FROM entry"
        )
        if stat != sums.fetchall():
            yield "stat is not the sum of the entries"
        if db.execute("SELECT count(*) FROM entry JOIN payload USING (id)").fetchone()[0] != stat[0][1]:
            yield "entries without payload, or the other way round"


def nothing_is_left_over(scene: Scene) -> Iterator[str]:
    redis = scene.redis
    for pattern in LEFT_OVER:
        yield from (f"{key.decode()} is left" for key in redis.scan_iter(pattern, count=1000))
    for stream, group in STREAMS.items():
        if redis.xlen(stream):
            yield f"{redis.xlen(stream)} entries are left in {stream}"
        if any(item["pending"] for item in redis.xinfo_groups(stream) if item["name"] == group.encode()):
            yield f"entries of {stream} are pending"
    yield from (f"{key.decode()} never expires" for key in redis.scan_iter("audio:*") if redis.ttl(key) < 0)
    yield from (f"{key.decode()} never expires" for key in redis.scan_iter("up:*") if redis.ttl(key) < 0)
    if int(redis.get("unpersisted") or 0):
        yield f"unpersisted is {int(redis.get('unpersisted'))}"


def only_poison_is_buried(scene: Scene) -> Iterator[str]:
    """A job whose workers were killed MAX_ATTEMPTS times is unlucky, and rightly given up."""
    for stream in STREAMS:
        yield from (
            f"{entry_id.decode()} is in dead:{stream}" for entry_id, _ in scene.redis.xrange(f"dead:{stream}")
        )
    for _, letter in scene.redis.xrange("dead:jobs"):
        if letter[b"reason"] != b"worker_lost":
            yield f"{letter[b'id'].decode()} was given up: {letter[b'reason'].decode()}"


def every_listener_was_told_the_end(scene: Scene) -> Iterator[str]:
    unlucky = {letter[b"hash"].decode() for _, letter in scene.redis.xrange("dead:jobs")}
    for wish in scene.notes.wishes:
        if wish.state in ("cancelled", EXPECTED[wish.kind]):
            continue
        if not (wish.state == "error" and wish.work.hash in unlucky):
            yield f"{wish.index}, {wish.work.hash}: {wish.state or 'still waiting'}"


def the_audio_file_is_sound(scene: Scene) -> Iterator[str]:
    with sqlite3.connect(scene.audio_file) as db:
        yield from (row[0] for row in db.execute("PRAGMA quick_check").fetchall() if row[0] != "ok")


Invariant = Callable[[Scene], Iterable[str]]
INVARIANTS: dict[str, tuple[Invariant, ...]] = {
    "I1": (announced_audio_was_readable,),
    "I2": (
        finished_jobs_are_charged,
        only_finished_jobs_are_charged,
        what_was_heard_is_charged,
        nothing_is_charged_twice,
        failures_are_not_charged,
        cancelled_jobs_are_not_charged,
    ),
    "I3": (counters_are_sums_of_the_ledger,),
    "I4": (finished_audio_is_on_disk, what_was_heard_is_on_disk, totals_are_sums_of_the_entries),
    "I5": (nothing_is_left_over, only_poison_is_buried),
    "I6": (every_listener_was_told_the_end,),
    "I7": (the_audio_file_is_sound,),
}

# What a server that forgets what it had said may cost: its clients ask again, and what was charged stays so,
# also of a job that was finished and charged, is there again, and is cancelled now.
FORGIVEN = (
    only_finished_jobs_are_charged,
    cancelled_jobs_are_not_charged,
    what_was_heard_is_charged,
    nothing_is_charged_twice,
    what_was_heard_is_on_disk,
)


def violations(scene: Scene, *, without: Iterable[Invariant] = ()) -> list[str]:
    return [
        f"{name} {check.__name__}: {found}"
        for name, checks in INVARIANTS.items()
        for check in checks
        if check not in set(without)
        for found in check(scene)
    ]
