"""The life of a synthesis job in Redis, as atomic scripts (`yapit/jobs/lua/`). Knows no database.

Web processes enqueue, look and cancel; workers claim, renew, release and submit; the results
consumer finalizes; the scheduler reaps. Every call may be repeated after a lost answer.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Self
from uuid import uuid4

import msgspec
from django.conf import settings
from redis import Redis
from redis.exceptions import NoScriptError, OutOfMemoryError

from config.observability import metrics
from config.redis.multiplexed import MultiplexedConnection
from config.redis.pipeline import Command, Pipeline, pipeline_of
from config.redis.scripts import Call, arun, arun_all, run
from yapit.jobs.lua import CLAIMING, script
from yapit.limits.lua import LIMITS

FINISHED_SECONDS = 8 * 86400
REAP_BATCH = 200
UPLOAD_SECONDS = 600  # longer than stored audio is kept, or a full Redis would drop it first

REAPED = metrics.counter("jobs_reaped", "Jobs whose worker went silent")
REFUSED = metrics.counter("jobs_refused", "Blocks that were not queued, by the reason", ["reason"])


LOOK, ENQUEUE, CANCEL = script("look", LIMITS), script("enqueue", LIMITS), script("cancel")
CLAIM, SUBMIT = script("claim", CLAIMING), script("submit", CLAIMING)
RENEW, RELEASE = script("renew"), script("release")
FINALIZE, REAP, REPLAY = script("finalize"), script("reap"), script("replay")


class Priority:
    PLAYING = 0
    PREFETCH = 1
    WARM = 2


class State(StrEnum):
    """What a hash can be; the scripts say its first letter."""

    CACHED = "cached"
    WAITING = "waiting"
    SKIPPED = "skipped"
    ERROR = "error"
    NONE = "none"
    QUEUED = "queued"
    JOINED = "joined"
    REFUSED = "refused"


TOO_SOON = {b"rate_limited", b"too_many_documents"}  # not accepted, and to be asked for again later
STATES = {ord(state.value[0]): state for state in State}


@dataclass(frozen=True, slots=True)
class BlockState:
    """`detail` is the audio's header for cached, a stable code for error and refused.

    `figure` is what the account may still spend (usage_limit), or milliseconds to wait (`TOO_SOON`).
    """

    state: State
    detail: bytes = b""
    figure: int = 0

    @classmethod
    def read(cls, raw: bytes) -> Self:
        state = STATES[raw[0]]
        if state is State.REFUSED:
            code, _, figure = raw[1:].partition(b" ")
            return cls(state, code, int(figure))
        return cls(state, raw[1:])


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a job is about; the same for whoever asks."""

    hash: str
    text: str
    model: str
    voice: str
    params: str  # JSON of the voice's parameters
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


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of a job: c (audio, as `blob`), s (nothing to say) or e (cannot; `detail` is why)."""

    outcome: Literal["c", "s", "e"]
    detail: str = ""
    duration_ms: int = 0
    blob: bytes = b""


@dataclass(frozen=True, slots=True)
class SubmitOutcome:
    """`status`: OK, DUP, GONE, STALE, or LOST, which is to be repeated and has claimed nothing."""

    status: str
    next: Claimed | None


def member(user_id: int, document_id: object, index: int, connection: str) -> str:
    return f"{user_id}:{document_id}:{index}:{connection}"


def look_call(variants: Sequence[str], bucket: str = "") -> Call:
    """`bucket`: that of messages, of which this is one."""
    return LOOK.call(
        settings.MESSAGES_BURST,
        settings.MESSAGES_PER_SECOND,
        settings.HOT_AUDIO_SECONDS,
        *variants,
        keys=[bucket] if bucket else (),
    )


class EnqueueRequest(msgspec.Struct):
    """One block, as somebody asks for it. `member` is who waits, if anybody does."""

    work: JobSpec
    member: str = ""
    document: str = ""
    priority: int = Priority.PREFETCH
    billable: bool = True
    is_limited: bool = False  # counts against the blocks per minute of the account
    id: str = msgspec.field(default_factory=lambda: uuid4().hex)


class _ForAll(msgspec.Struct):
    user: str
    ceilings: Mapping[str, int]
    seconds: int
    unpersisted: int
    waiting: int
    per_minute: int
    documents: int
    document_ms: int
    done_with: Sequence[str]


def enqueue_call(
    user_id: int | str,
    asked: Sequence[EnqueueRequest],
    ceilings: Mapping[str, int],
    done_with: Sequence[str] = (),
) -> Call:
    """`ceilings`: how far the account's `asked` may go, by usage type; one that is missing is unlimited.

    `done_with`: documents of which nothing is waited for any more.
    """
    common = _ForAll(
        user=str(user_id),
        ceilings=ceilings,
        seconds=settings.HOT_AUDIO_SECONDS,
        unpersisted=settings.UNPERSISTED_LIMIT,
        waiting=settings.WAITING_JOBS_LIMIT,
        per_minute=settings.BLOCKS_PER_MINUTE,
        documents=settings.DOCUMENTS_PER_USER,
        document_ms=_milliseconds(settings.DOCUMENT_SECONDS),
        done_with=done_with,
    )
    return ENQUEUE.call(msgspec.msgpack.encode(common), msgspec.msgpack.encode(asked))


async def look(
    link: MultiplexedConnection, variants: Sequence[str], bucket: str = ""
) -> tuple[float, list[BlockState]]:
    """One round trip. With a bucket of messages that is empty: the seconds to wait, and no answers."""
    wait, *answers = await arun(link, look_call(variants, bucket))
    return wait / 1000, [BlockState.read(raw) for raw in answers]


@dataclass(frozen=True, slots=True)
class Enqueued:
    """An answer for each block, and what is left now below each ceiling."""

    answers: list[BlockState]
    left: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: Sequence[Any]) -> Self:
        below, *answers = raw
        left = {below[i].decode(): int(below[i + 1]) for i in range(0, len(below), 2)}
        return cls([BlockState.read(answer) for answer in answers], left)


async def enqueue(
    link: MultiplexedConnection,
    user_id: int,
    asked: Sequence[EnqueueRequest],
    ceilings: Mapping[str, int],
    done_with: Sequence[str] = (),
) -> Enqueued:
    """One round trip. A Redis without room refuses with `busy`."""
    try:
        enqueued = Enqueued.read(await arun(link, enqueue_call(user_id, asked, ceilings, done_with)))
    except OutOfMemoryError:
        enqueued = Enqueued([BlockState(State.REFUSED, b"busy")] * len(asked))
    for answer in enqueued.answers:
        if answer.state is State.REFUSED:
            REFUSED.labels(answer.detail.decode()).inc()
    return enqueued


async def cancel(link: MultiplexedConnection, waiting: Sequence[tuple[str, str]]) -> None:
    """Each (hash, member) stops waiting."""
    for answer in await arun_all(link, [CANCEL.call(*pair) for pair in waiting]):
        if isinstance(answer, Exception):
            raise answer


def claim(redis: Redis, model: str, worker: str) -> Claimed | None:
    return _claimed(run(redis, CLAIM.call(model, worker, _milliseconds(settings.LEASE_SECONDS))))


def _claimed(raw: Sequence[bytes]) -> Claimed | None:
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


def submit(
    redis: Redis | Pipeline, job_id: str, worker: str, made: JobResult, claim_from: str = ""
) -> SubmitOutcome:
    """Hand in, and take the next job of the model `claim_from`: one round trip. To be repeated on `LOST`.

    The bytes go ahead of the script, as themselves: through it they would be copied three times. Until it
    takes them they have an end of their own.
    """
    call = SUBMIT.call(
        job_id,
        worker,
        made.outcome,
        made.detail,
        made.duration_ms,
        claim_from,
        _milliseconds(settings.LEASE_SECONDS),
    )
    with pipeline_of(redis) as wire:
        status, *claimed = _sent(wire, _upload(job_id, worker, made.blob), call)
    return SubmitOutcome(status.decode(), _claimed(claimed))


def _upload(job_id: str, worker: str, blob: bytes) -> list[Command]:
    return [("SET", f"up:{job_id}:{worker}", blob, "EX", UPLOAD_SECONDS)] if blob else []


def _sent(wire: Pipeline, upload: list[Command], call: Call) -> Any:
    *stored, answer = wire.exchange([*upload, call.command])
    if isinstance(answer, NoScriptError):
        [answer] = wire.exchange([call.full_command])
    for each in (answer, *stored):
        if isinstance(each, Exception):
            raise each
    return answer


def submit_audio(redis: Redis, job_id: str, worker: str, blob: bytes, duration_ms: int) -> str:
    return submit(redis, job_id, worker, JobResult("c", duration_ms=duration_ms, blob=blob)).status


def submit_nothing(redis: Redis, job_id: str, worker: str) -> str:
    return submit(redis, job_id, worker, JobResult("s")).status


def submit_error(redis: Redis, job_id: str, worker: str, code: str) -> str:
    return submit(redis, job_id, worker, JobResult("e", code)).status


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
    work = JobSpec(
        hash=lost.hash,
        text=lost.text,
        model=lost.model,
        voice=lost.voice,
        params=lost.params,
        revision=lost.revision,
        codec=lost.codec,
        chars=int(lost.chars),
        cost=int(lost.cost),
        multiplier_bp=int(lost.multiplier_bp),
        usage_type=lost.usage_type,
    )
    asked = EnqueueRequest(work, document=lost.document, billable=False)
    run(redis, enqueue_call(lost.user, [asked], {}))


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
