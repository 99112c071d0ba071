"""The life of a synthesis job in Redis, as atomic scripts (`yapit/lua/`). Knows no database.

Web processes enqueue, look and cancel; workers claim, renew, release and submit; the results
consumer finalizes; the scheduler reaps. Every call may be repeated after a lost answer.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self
from uuid import uuid4

import msgspec
from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import OutOfMemoryError

from config import metrics
from config.scripts import Argument, Call, arun_all, run, run_all
from yapit.lua import script

FINISHED_SECONDS = 8 * 86400
REAP_BATCH = 200

REAPED = metrics.counter("jobs_reaped", "Jobs whose worker went silent")


LOOK, ENQUEUE, CANCEL = script("look"), script("enqueue", "limits"), script("cancel")
CLAIM, RENEW, RELEASE, SUBMIT = script("claim"), script("renew"), script("release"), script("submit")
FINALIZE, REAP, REPLAY = script("finalize"), script("reap"), script("replay")


class Priority:
    PLAYING = 0
    PREFETCH = 1
    WARM = 2


class State(StrEnum):
    """What a hash can be, as the scripts say it."""

    CACHED = "cached"
    WAITING = "waiting"
    SKIPPED = "skipped"
    ERROR = "error"
    NONE = "none"
    QUEUED = "queued"
    JOINED = "joined"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """`detail` is the audio's header for cached, a stable code for error and refused.

    `figure` is what the account may still spend (usage_limit), or milliseconds to wait (rate_limited).
    """

    state: State
    detail: bytes = b""
    figure: int = 0

    @classmethod
    def read(cls, raw: Sequence[Any]) -> Self:
        return cls(State(raw[0].decode()), raw[1], int(raw[2]) if len(raw) > 2 else 0)


@dataclass(frozen=True, slots=True)
class Work:
    """What a job is about; the same for whoever asks."""

    hash: str
    text: str
    model: str
    voice: str
    params: bytes  # JSON of the voice's parameters
    revision: str
    codec: str
    chars: int
    cost: int
    multiplier_bp: int
    usage_type: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job leased to this worker."""

    id: str
    hash: str
    text: str
    voice: str
    params: Mapping[str, object]
    revision: str
    chars: int
    attempt: int

    @property
    def deadline(self) -> float:
        """Seconds that synthesis may take."""
        return settings.JOB_DEADLINE_SECONDS + settings.JOB_DEADLINE_PER_CHARACTER * self.chars


def member(user_id: int, document_id: object, index: int, connection: str) -> str:
    return f"{user_id}:{document_id}:{index}:{connection}"


def look_call(variant: str) -> Call:
    return LOOK.call(variant, settings.HOT_AUDIO_SECONDS)


def enqueue_call(
    work: Work,
    *,
    user_id: int | str,
    document_id: object = "",
    waiting: str = "",
    balance: int | None = None,
    priority: int = Priority.PREFETCH,
    billable: bool = True,
    is_limited: bool = False,
) -> Call:
    """`waiting` is the member that waits, if anybody does; `balance` None means unlimited.

    `is_limited`: counts against the blocks per minute of the account.
    """
    job: dict[str, Argument] = {
        "text": work.text,
        "chars": work.chars,
        "cost": work.cost,
        "model": work.model,
        "voice": work.voice,
        "params": work.params,
        "revision": work.revision,
        "codec": work.codec,
        "multiplier_bp": work.multiplier_bp,
        "usage_type": work.usage_type,
        "document": str(document_id),
        "billable": int(billable),
    }
    pairs = [part for pair in job.items() for part in pair]
    return ENQUEUE.call(
        work.hash,
        uuid4().hex,
        str(user_id),
        waiting,
        "" if balance is None else balance,
        priority,
        settings.HOT_AUDIO_SECONDS,
        settings.UNPERSISTED_LIMIT,
        settings.WAITING_JOBS_LIMIT,
        settings.BLOCKS_PER_MINUTE if is_limited else "",
        *pairs,
    )


async def ask(redis: AsyncRedis, calls: Sequence[Call]) -> list[Answer]:
    """Send look and enqueue calls in one round trip. A Redis without room refuses with `busy`."""
    answers = await arun_all(redis, calls)
    return [_answer(raw) for raw in answers]


def _answer(raw: Any) -> Answer:
    if isinstance(raw, OutOfMemoryError):
        return Answer(State.REFUSED, b"busy")
    if isinstance(raw, Exception):
        raise raw
    return Answer.read(raw)


async def cancel(redis: AsyncRedis, waiting: Sequence[tuple[str, str]]) -> None:
    """Each (hash, member) stops waiting."""
    for answer in await arun_all(redis, [CANCEL.call(*pair) for pair in waiting]):
        if isinstance(answer, Exception):
            raise answer


def claim(redis: Redis, model: str, worker: str) -> Claimed | None:
    raw = run(redis, CLAIM.call(model, worker, _milliseconds(settings.LEASE_SECONDS)))
    if not raw:
        return None
    job_id, variant, text, voice, params, revision, chars, attempt = raw
    return Claimed(
        id=job_id.decode(),
        hash=variant.decode(),
        text=text.decode(),
        voice=voice.decode(),
        params=msgspec.json.decode(params),
        revision=revision.decode(),
        chars=int(chars),
        attempt=int(attempt),
    )


def wait_for_work(blocking: Redis, model: str, seconds: int) -> None:
    """Until a job is queued or the time is over. A lost token costs no more than `seconds`."""
    blocking.blpop([f"wake:{model}"], timeout=seconds)


def renew(redis: Redis, job_id: str, worker: str) -> bool:
    return bool(run(redis, RENEW.call(job_id, worker, _milliseconds(settings.LEASE_SECONDS))))


def release(redis: Redis, job_id: str, worker: str) -> None:
    """Back to the head of the queue, as if never claimed."""
    run(redis, RELEASE.call(job_id, worker, 0, settings.MAX_ATTEMPTS, ""))


def fail_attempt(redis: Redis, job_id: str, worker: str, reason: str) -> None:
    """This attempt came to nothing: another one, or after the last the end."""
    run(redis, RELEASE.call(job_id, worker, 1, settings.MAX_ATTEMPTS, reason))


def submit_audio(redis: Redis, job_id: str, worker: str, blob: bytes, duration_ms: int) -> str:
    answer: bytes = run(redis, SUBMIT.call(job_id, worker, "c", "", duration_ms, blob))
    return answer.decode()


def submit_nothing(redis: Redis, job_id: str, worker: str) -> str:
    answer: bytes = run(redis, SUBMIT.call(job_id, worker, "s", "", 0))
    return answer.decode()


def submit_error(redis: Redis, job_id: str, worker: str, code: str) -> str:
    answer: bytes = run(redis, SUBMIT.call(job_id, worker, "e", code, 0))
    return answer.decode()


def reap(redis: Redis) -> int:
    """Take jobs back from workers that went silent. Return how many."""
    reaped = int(run(redis, REAP.call(settings.MAX_ATTEMPTS, REAP_BATCH)))
    REAPED.inc(reaped)
    return reaped


def trim_finished(redis: Redis) -> int:
    """Forget the ids of jobs that ended more than eight days ago. Called by the scheduler."""
    removed: Any = redis.zremrangebyscore("finished", "-inf", (time.time() - FINISHED_SECONDS) * 1000)
    return int(removed)


def requeue_lost(redis: Redis, job: bytes) -> None:
    """Make audio again that was lost before it was stored; nobody pays twice.

    `job` is the persist entry's field of that name. Repeatable.
    """
    lost = msgspec.msgpack.decode(job, type=LostJob)
    redis.delete(f"audio:{lost.hash}")
    work = Work(
        hash=lost.hash,
        text=lost.text,
        model=lost.model,
        voice=lost.voice,
        params=lost.params.encode(),
        revision=lost.revision,
        codec=lost.codec,
        chars=int(lost.chars),
        cost=int(lost.cost),
        multiplier_bp=int(lost.multiplier_bp),
        usage_type=lost.usage_type,
    )
    call = enqueue_call(
        work, user_id=lost.user, document_id=lost.document, billable=False, priority=Priority.PREFETCH
    )
    for answer in run_all(redis, [call]):
        if isinstance(answer, Exception):
            raise answer


class LostJob(msgspec.Struct, frozen=True):
    """The job behind a persist entry, as FINALIZE packs it: Redis knows only strings."""

    hash: str
    text: str
    model: str
    voice: str
    params: str
    revision: str
    codec: str
    chars: str
    cost: str
    multiplier_bp: str
    usage_type: str
    document: str
    user: str


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
