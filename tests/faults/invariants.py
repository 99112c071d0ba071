"""Invariants after a drill: functions that yield violations, named by id or hash and never by text."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from redis import Redis

from audiocache.sqlite import SqliteStore
from config.database.sqlite import sqlite3
from tests.faults.clients import EXPECTED, ClientLog

STREAMS = {"results": "results", "billing": "billing", "persist": "persister", "orders": "persister"}
LEFT_OVER = (
    *("job:*", "inflight:*", "subs:*", "res:*", "queue:*", "leases"),
    *("reserved:*", "reservations"),
)


@dataclass(frozen=True)
class FinalState:
    """Observations, Redis, database and audio file after all work has finished."""

    log: ClientLog
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
        return {request.spec.hash for request in self.log.requests if request.state == "cached"}


def announced_audio_was_readable(state: FinalState) -> Iterable[str]:
    return [f"{hash_} was announced and not readable" for hash_ in state.log.unreadable]


def finished_jobs_are_charged(state: FinalState) -> Iterable[str]:
    return [f"{id_} was finished and not charged" for id_ in state.finished() - state.ledger().keys()]


def only_finished_jobs_are_charged(state: FinalState) -> Iterable[str]:
    return [f"{id_} was charged and not finished" for id_ in state.ledger().keys() - state.finished()]


def announced_audio_is_charged(state: FinalState) -> Iterable[str]:
    return [
        f"{hash_} was announced and not charged" for hash_ in state.announced() - set(state.ledger().values())
    ]


def nothing_is_charged_twice(state: FinalState) -> Iterable[str]:
    times = Counter(state.ledger().values())
    return [f"{hash_} was charged {count} times" for hash_, count in times.items() if count > 1]


def failures_are_not_charged(state: FinalState) -> Iterator[str]:
    ledger = state.ledger()
    fails = {request.spec.hash for request in state.log.requests if request.kind}
    yield from (f"{id_} failed and was charged" for id_, hash_ in ledger.items() if hash_ in fails)


def cancelled_jobs_are_not_charged(state: FinalState) -> Iterator[str]:
    yield from (f"{id_} was cancelled and charged" for id_ in state.log.dropped & state.ledger().keys())


def counters_are_sums_of_the_ledger(state: FinalState) -> Iterator[str]:
    counted = state.database.execute(
        "SELECT user_id, coalesce(sum(total) FILTER (WHERE usage_type = 'standard'), 0)::bigint,"
        " coalesce(sum(total) FILTER (WHERE usage_type = 'premium'), 0)::bigint"
        " FROM billing_usageperiod WHERE total > 0 GROUP BY user_id"
    ).fetchall()
    summed = state.database.execute(
        "SELECT user_id, coalesce(sum(cost) FILTER (WHERE usage_type = 'standard'), 0)::bigint,"
        " coalesce(sum(cost) FILTER (WHERE usage_type = 'premium'), 0)::bigint"
        " FROM billing_ledgerentry GROUP BY user_id"
    ).fetchall()
    yield from (f"account {row[0]}: ledger and counters differ" for row in set(counted) ^ set(summed))


def finished_audio_is_on_disk(state: FinalState) -> Iterator[str]:
    finished = state.finished()
    return _missing(state, {hash_ for id_, hash_ in state.ledger().items() if id_ in finished})


def announced_audio_is_on_disk(state: FinalState) -> Iterator[str]:
    return _missing(state, state.announced())


def _missing(state: FinalState, hashes: Iterable[str]) -> Iterator[str]:
    store = SqliteStore(state.audio_file, 1 << 40)
    for hash_ in hashes:
        found = store.get(hash_)
        if found is None:
            yield f"{hash_} is not on disk"
        elif state.log.checksums.get(hash_, digest := hashlib.sha256(found.audio).digest()) != digest:
            yield f"{hash_} differs on disk from the audio in Redis"
    store.close()


def totals_are_sums_of_the_entries(state: FinalState) -> Iterator[str]:
    with sqlite3.connect(state.audio_file) as db:
        stat = db.execute("SELECT bytes, n, pinned_bytes FROM stat").fetchall()
        sums = db.execute(
            "SELECT coalesce(sum(size), 0), count(*), coalesce(sum(size * pinned), 0) FROM entry"
        )
        if stat != sums.fetchall():
            yield "stat is not the sum of the entries"
        if db.execute("SELECT count(*) FROM entry JOIN payload USING (id)").fetchone()[0] != stat[0][1]:
            yield "entries and payloads do not match"


def nothing_is_left_over(state: FinalState) -> Iterator[str]:
    redis = state.redis
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


def only_unlucky_jobs_are_dead_letters(state: FinalState) -> Iterator[str]:
    """Unlucky is a job whose workers were killed MAX_ATTEMPTS times."""
    for stream in STREAMS:
        yield from (
            f"{entry_id.decode()} is in dead:{stream}" for entry_id, _ in state.redis.xrange(f"dead:{stream}")
        )
    for _, letter in state.redis.xrange("dead:jobs"):
        if letter[b"reason"] != b"worker_lost":
            yield f"{letter[b'id'].decode()} is a dead letter: {letter[b'reason'].decode()}"


def every_request_ended_as_expected(state: FinalState) -> Iterator[str]:
    unlucky = {letter[b"hash"].decode() for _, letter in state.redis.xrange("dead:jobs")}
    for request in state.log.requests:
        if request.state in ("cancelled", EXPECTED[request.kind]):
            continue
        if not (request.state == "error" and request.spec.hash in unlucky):
            yield f"{request.index}, {request.spec.hash}: {request.state or 'still waiting'}"


def audio_file_is_intact(state: FinalState) -> Iterator[str]:
    with sqlite3.connect(state.audio_file) as db:
        yield from (row[0] for row in db.execute("PRAGMA quick_check").fetchall() if row[0] != "ok")


Invariant = Callable[[FinalState], Iterable[str]]
INVARIANTS: dict[str, tuple[Invariant, ...]] = {
    "I1": (announced_audio_was_readable,),
    "I2": (
        finished_jobs_are_charged,
        only_finished_jobs_are_charged,
        announced_audio_is_charged,
        nothing_is_charged_twice,
        failures_are_not_charged,
        cancelled_jobs_are_not_charged,
    ),
    "I3": (counters_are_sums_of_the_ledger,),
    "I4": (finished_audio_is_on_disk, announced_audio_is_on_disk, totals_are_sums_of_the_entries),
    "I5": (nothing_is_left_over, only_unlucky_jobs_are_dead_letters),
    "I6": (every_request_ended_as_expected,),
    "I7": (audio_file_is_intact,),
}

# Violations that a loss of data in Redis may cause: clients request again, while charges remain, even those
# of a finished job that exists again and is then cancelled.
EXCUSED_AFTER_DATA_LOSS = (
    only_finished_jobs_are_charged,
    cancelled_jobs_are_not_charged,
    announced_audio_is_charged,
    nothing_is_charged_twice,
    announced_audio_is_on_disk,
)


def violations(state: FinalState, *, without: Iterable[Invariant] = ()) -> list[str]:
    return [
        f"{name} {check.__name__}: {found}"
        for name, checks in INVARIANTS.items()
        for check in checks
        if check not in set(without)
        for found in check(state)
    ]
