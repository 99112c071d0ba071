"""Job protocol: the life of a job in Redis, as atomic scripts in `yapit/jobs/lua/`. No database.

Web processes enqueue, look and cancel; workers claim, renew, release and submit; the results consumer
finalizes; the scheduler reaps. Every call may be repeated after a lost reply.
"""

import logging
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
from config.redis import keys
from config.redis.multiplexed import MultiplexedConnection
from config.redis.pipeline import Command, Pipeline, pipeline_of
from config.redis.scripts import ScriptCall, arun, arun_all, run
from yapit import redis_keys
from yapit.jobs.lua import CLAIMING, script
from yapit.limits.lua import LIMITS

logger = logging.getLogger(__name__)

FINISHED_SECONDS = 8 * 86400
REAP_BATCH = 200
UPLOAD_SECONDS = 600  # longer than stored audio, or a full Redis would evict uploads first

REAPED = metrics.counter("jobs_reaped", "Jobs whose lease expired")
ORPHANS = metrics.counter(
    "jobs_orphaned_reservations", "Reservations given back whose job and billing entry were gone"
)
REFUSED = metrics.counter("jobs_refused", "Blocks that were not queued, by reason", ["reason"])


LOOK, ENQUEUE, CANCEL = script("look", LIMITS), script("enqueue", LIMITS), script("cancel")
CLAIM, SUBMIT = script("claim", CLAIMING), script("submit", CLAIMING)
RENEW, RELEASE = script("renew"), script("release")
FINALIZE, REAP, REPLAY = script("finalize"), script("reap"), script("replay")
REAP_RESERVATIONS = script("reap_reservations")


_pack = msgspec.msgpack.Encoder().encode


class Priority:
    PLAYING = 0
    PREFETCH = 1
    WARM = 2


class State(StrEnum):
    """State of a block. Scripts reply with its first letter."""

    CACHED = "cached"
    WAITING = "waiting"
    SKIPPED = "skipped"
    ERROR = "error"
    NONE = "none"
    QUEUED = "queued"
    JOINED = "joined"
    REFUSED = "refused"


TOO_SOON = {b"rate_limited", b"too_many_documents"}  # reasons of refusals that carry a time to wait
STATES = {ord(state.value[0]): state for state in State}


@dataclass(frozen=True, slots=True)
class BlockState:
    """`detail` is the header of cached audio, or the stable code of an error or a refusal.

    `figure` is the remaining credit (usage_limit), or milliseconds to wait (`TOO_SOON`).
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


class JobSpec(msgspec.Struct, frozen=True):
    """The constant parts of a job: the same for all accounts that request the same result.

    Stored and copied as one value, `packed`. The protocol reads neither `payload` nor `fields`.
    """

    kind: str  # a key of JOB_HANDLERS
    queue: str  # has jobs of one kind
    key: str  # identifies the result, as 64 hexadecimal digits: for speech, the variant hash
    payload: bytes  # for the handler
    usage_type: str
    units: int  # size of the work, which orders users: for speech, characters
    cost: int  # reserved for it, and the most that it may cost
    store: str  # alias that keeps the result
    fields: tuple[str | int, ...] = ()  # of the billing entry: names and values in turn

    @property
    def packed(self) -> bytes:
        head = SpecHead(self.kind, self.queue, self.key, self.usage_type, self.units, self.cost, self.store)
        return _pack((head, self.fields, self.payload))

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Raises msgspec.MsgspecError."""
        return cls.of(*_packed_specs.decode(packed))

    @classmethod
    def of(cls, head: "SpecHead", fields: "BillingFields", payload: bytes) -> Self:
        return cls(
            head.kind,
            head.queue,
            head.key,
            payload,
            head.usage_type,
            head.units,
            head.cost,
            head.store,
            fields,
        )


class SpecHead(msgspec.Struct, frozen=True):
    """The parts of a spec that all scripts read."""

    kind: str
    queue: str
    key: str
    usage_type: str
    units: int
    cost: int
    store: str


BillingFields = tuple[str | int, ...]
PackedSpec = tuple[SpecHead, BillingFields, bytes]

_packed_specs = msgspec.msgpack.Decoder(PackedSpec)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job leased to this worker."""

    id: str
    spec: JobSpec
    attempt: int

    @classmethod
    def read(cls, reply: Sequence[Any]) -> Self | None:
        """The job in a reply of CLAIM. None: it is empty."""
        if not reply:
            return None
        job_id, spec, attempt = reply
        return cls(job_id.decode(), JobSpec.unpack(spec), int(attempt))


@dataclass(frozen=True, slots=True)
class JobResult:
    """Result of a job: c (bytes to keep, as `blob`), s (nothing) or e (an error, with its code as `detail`).

    `blob` has a header of `audiocache.blob` in front. `fields` are added to the billing entry. `cost` may be
    lower than that of the spec, which stays reserved until then; None: the cost of the spec.
    """

    outcome: Literal["c", "s", "e"]
    detail: str = ""
    blob: bytes = b""
    fields: Mapping[str, str | int] = field(default_factory=dict)
    cost: int | None = None

    @classmethod
    def stored(cls, blob: bytes, *, cost: int | None = None, **fields: str | int) -> Self:
        return cls("c", blob=blob, fields=fields, cost=cost)

    @classmethod
    def nothing(cls) -> Self:
        return cls("s")

    @classmethod
    def error(cls, code: str) -> Self:
        return cls("e", code)


@dataclass(frozen=True, slots=True)
class SubmitOutcome:
    """`status`: OK, DUP, GONE, STALE, EXCEEDED or LOST.

    After LOST, which has claimed nothing, submit again. EXCEEDED: the result costs more than was reserved.
    """

    status: str
    next: Claimed | None


def member(user_id: int, document_id: object, index: int, connection: str) -> str:
    """A subscriber of a job: one block that one connection waits for."""
    return f"{user_id}:{document_id}:{index}:{connection}"


def look_call(job_keys: Sequence[str], bucket: str = "") -> ScriptCall:
    """`bucket`: key of a token bucket, from which one message is taken."""
    return LOOK.call(
        settings.MESSAGES_BURST,
        settings.MESSAGES_PER_SECOND,
        settings.HOT_AUDIO_SECONDS,
        *job_keys,
        keys=[bucket] if bucket else (),
    )


@dataclass(slots=True)
class EnqueueRequest:
    """Request for one job. `member` is its subscriber; warming has none."""

    spec: JobSpec
    member: str = ""
    document: str = ""
    priority: int = Priority.PREFETCH
    billable: bool = True
    is_limited: bool = False  # counts against the blocks per minute and the documents of the account
    id: str = field(default_factory=lambda: uuid4().hex)


class EnqueueCommon(msgspec.Struct):
    """Arguments of ENQUEUE that hold for all its requests."""

    user: str
    api_key: str
    limits: Mapping[str, int]
    audio_seconds: int
    unpersisted_limit: int
    waiting_limit: int
    blocks_per_minute: int
    document_limit: int
    document_ms: int
    finished_documents: Sequence[str]


def enqueue_call(
    user_id: int | str,
    requests: Sequence[EnqueueRequest],
    limits: Mapping[str, int],
    finished_documents: Sequence[str] = (),
    api_key: str = "",
) -> ScriptCall:
    """`limits`: what the account's `requested` total may reach, by usage type; a missing one is unlimited.

    `finished_documents`: documents for which the connection has stopped waiting. `api_key`: id of the key
    that pays; empty for other log-ins.
    """
    common = EnqueueCommon(
        user=str(user_id),
        api_key=api_key,
        limits=limits,
        audio_seconds=settings.HOT_AUDIO_SECONDS,
        unpersisted_limit=settings.UNPERSISTED_LIMIT,
        waiting_limit=settings.WAITING_JOBS_LIMIT,
        blocks_per_minute=settings.BLOCKS_PER_MINUTE,
        document_limit=settings.DOCUMENTS_PER_USER,
        document_ms=_milliseconds(settings.DOCUMENT_SECONDS),
        finished_documents=finished_documents,
    )
    specs = [request.spec.packed for request in requests]
    return ENQUEUE.call(_pack(common), _pack([_without_spec(request) for request in requests]), *specs)


def _without_spec(request: EnqueueRequest) -> dict[str, object]:
    return {
        "id": request.id,
        "member": request.member,
        "document": request.document,
        "priority": request.priority,
        "billable": request.billable,
        "is_limited": request.is_limited,
    }


async def look(
    link: MultiplexedConnection, job_keys: Sequence[str], bucket: str = ""
) -> tuple[float, list[BlockState]]:
    """Seconds to wait and the state of each key; no states if the bucket is empty. One round trip."""
    wait, *states = await arun(link, look_call(job_keys, bucket))
    return wait / 1000, [BlockState.read(raw) for raw in states]


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The answer to each request, and the characters left below each limit."""

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
    requests: Sequence[EnqueueRequest],
    limits: Mapping[str, int],
    finished_documents: Sequence[str] = (),
    api_key: str = "",
) -> Enqueued:
    """One round trip. A full Redis refuses all with `busy`. See `enqueue_call` for the arguments."""
    try:
        call = enqueue_call(user_id, requests, limits, finished_documents, api_key)
        enqueued = Enqueued.read(await arun(link, call))
    except OutOfMemoryError:
        enqueued = Enqueued([BlockState(State.REFUSED, b"busy")] * len(requests))
    for answer in enqueued.answers:
        if answer.state is State.REFUSED:
            REFUSED.labels(answer.detail.decode()).inc()
    return enqueued


async def cancel(link: MultiplexedConnection, pending: Sequence[tuple[str, str]]) -> None:
    """Each (key, member) stops waiting. Raises RedisError."""
    for reply in await arun_all(link, [CANCEL.call(*pair) for pair in pending]):
        if isinstance(reply, Exception):
            raise reply


def claim(redis: Redis, queue: str, worker: str) -> Claimed | None:
    """Lease the next job of a queue. None: none is queued."""
    return Claimed.read(run(redis, CLAIM.call(queue, worker, _milliseconds(settings.LEASE_SECONDS))))


def wait_for_work(blocking: Redis, queue: str, seconds: int) -> None:
    """Block until a job is queued or the time is over. A lost wake-up token costs at most `seconds`."""
    blocking.blpop([redis_keys.wake(queue)], timeout=seconds)


def renew(redis: Redis, job_id: str, worker: str) -> bool:
    """Renew the lease of a job. False: this worker no longer holds it."""
    return bool(run(redis, RENEW.call(job_id, worker, _milliseconds(settings.LEASE_SECONDS))))


def release(redis: Redis, job_id: str, worker: str) -> None:
    """Give a job back to the head of its queue; the attempt is not counted."""
    run(redis, RELEASE.call(job_id, worker, 0, settings.MAX_ATTEMPTS, ""))


def fail_attempt(redis: Redis, job_id: str, worker: str, reason: str) -> None:
    """Count a failed attempt: the job is queued again, or after its last attempt becomes a dead letter."""
    run(redis, RELEASE.call(job_id, worker, 1, settings.MAX_ATTEMPTS, reason))


def submit(
    redis: Redis | Pipeline, job_id: str, worker: str, result: JobResult, claim_from: str = ""
) -> SubmitOutcome:
    """Submit a result, and claim the next job of the queue `claim_from`: one round trip.

    The bytes are sent ahead of the script, by SET: as an argument they would be copied three times. They
    expire if the script does not take them.
    """
    call = SUBMIT.call(
        job_id,
        worker,
        result.outcome,
        result.detail,
        _pack([part for pair in result.fields.items() for part in pair]),
        "" if result.cost is None else result.cost,
        claim_from,
        _milliseconds(settings.LEASE_SECONDS),
    )
    upload = upload_command(job_id, worker, result.blob)
    with pipeline_of(redis) as pipeline:
        status, *claimed = _exchange(pipeline, [upload] if result.blob else [], call)
    return SubmitOutcome(status.decode(), Claimed.read(claimed))


def upload_command(job_id: str, worker: str, blob: bytes) -> Command:
    """The bytes of a result, for the SUBMIT that follows."""
    return ("SET", redis_keys.upload(job_id, worker), blob, "EX", UPLOAD_SECONDS)


def _exchange(pipeline: Pipeline, uploads: list[Command], call: ScriptCall) -> Any:
    *stored, reply = pipeline.exchange([*uploads, call.command])
    if isinstance(reply, NoScriptError):
        [reply] = pipeline.exchange([call.full_command])
    for each in (reply, *stored):
        if isinstance(each, Exception):
            raise each
    return reply


def submit_audio(redis: Redis, job_id: str, worker: str, blob: bytes, duration_ms: int) -> str:
    return submit(redis, job_id, worker, JobResult.stored(blob, duration_ms=duration_ms)).status


def reap(redis: Redis) -> int:
    """Retry or end jobs whose lease has expired. Returns their number. Called by the scheduler."""
    reaped = int(run(redis, REAP.call(settings.MAX_ATTEMPTS, REAP_BATCH)))
    REAPED.inc(reaped)
    return reaped


def reap_reservations(redis: Redis) -> None:
    """Give back reservations whose job and billing entry are both gone. Repeatable; called by the scheduler.

    Walks over all reservations, in steps that do not block Redis for long.
    """
    cursor = 0
    while True:
        found: Any = redis.hscan(keys.RESERVATIONS, cursor, count=REAP_BATCH)
        cursor, reservations = found
        if reservations:
            orphans = int(run(redis, REAP_RESERVATIONS.call(*reservations)))
            if orphans:
                ORPHANS.inc(orphans)
                logger.warning("%d reservations had neither a job nor a billing entry", orphans)
        if not cursor:
            return


def trim_finished(redis: Redis) -> int:
    """Delete the ids of jobs that ended more than eight days ago. Called by the scheduler."""
    removed: Any = redis.zremrangebyscore(keys.FINISHED, "-inf", (time.time() - FINISHED_SECONDS) * 1000)
    return int(removed)


def requeue_lost(redis: Redis, job: bytes) -> None:
    """Enqueue a job again, unbilled, whose audio was lost before it was stored. Repeatable.

    `job` is the field of that name of a persist entry.
    """
    lost = _lost_jobs.decode(job)
    spec = JobSpec.of(*lost.spec)
    redis.delete(keys.audio(spec.key))
    request = EnqueueRequest(spec, document=lost.document, billable=False)
    run(redis, enqueue_call(lost.user, [request], {}))


class LostJob(msgspec.Struct, frozen=True, array_like=True):
    """The job of a persist entry, as FINALIZE packs it."""

    user: str
    document: str
    spec: PackedSpec


_lost_jobs = msgspec.msgpack.Decoder(LostJob)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
