"""Steps of the job protocol for tests."""

from dataclasses import replace
from hashlib import sha256

import msgspec

from audiocache import blob
from config.redis import scripts
from config.streams import StreamConsumer
from yapit import jobs
from yapit.audio import opus
from yapit.jobs import BlockState, Enqueued, EnqueueRequest, JobResult, JobSpec
from yapit.jobs.results import ResultHandler
from yapit.synthesis.speech_job import SpeechPayload, SpeechSpec


def make_spec(text="Hello there.", **changes):
    spec = SpeechSpec(
        hash=sha256(text.encode()).hexdigest(),
        text=text,
        model="tone",
        voice="sine",
        params="{}",
        revision="1",
        codec=opus.CODEC,
        chars=len(text),
        cost=len(text),
        multiplier_bp=10_000,
        usage_type="standard",
    )
    return replace(spec, **changes)


def enqueue(redis, spec, *, user=1, document="d", index=0, connection="web.1", limit=None, **options):
    """`limit`: of the requested total, which begins at 0; None: unlimited."""
    member = jobs.member(user, document, index, connection)
    request = EnqueueRequest(spec.job, member=member, document=document, **options)
    limits = {}
    if limit is not None:
        redis.hsetnx(f"requested:{user}", spec.usage_type, 0)
        limits = {spec.usage_type: limit}
    return Enqueued.read(scripts.run(redis, jobs.enqueue_call(user, [request], limits))).answers[0]


def look(redis, spec):
    return BlockState.read(scripts.run(redis, jobs.look_call([spec.hash]))[1])


def cancel(redis, spec, *, user=1, document="d", index=0, connection="web.1"):
    member = jobs.member(user, document, index, connection)
    return scripts.run(redis, jobs.CANCEL.call(spec.hash, member)).decode()


def payload_of(job):
    """The payload of a claimed speech job."""
    return msgspec.msgpack.decode(job.spec.payload, type=SpeechPayload)


def spec_of(fields):
    """The spec in the fields of a job in Redis."""
    return JobSpec.unpack(fields[b"spec"])


def change_spec(redis, key, **changes):
    """Change or, where the value is None, remove parts of the spec of the job under this key in Redis."""
    head, fields, payload = msgspec.msgpack.decode(redis.hget(key, "spec"))
    kept = {name: value for name, value in (head | changes).items() if value is not None}
    redis.hset(key, "spec", msgspec.msgpack.encode([kept, fields, payload]))


def text_of(job):
    return payload_of(job).text


def make_blob(audio=b"OggS" + bytes(100), duration_ms=1234):
    header = blob.header_for(audio, duration_ms=duration_ms, media_type="audio/ogg")
    return blob.pack(header, audio)


def claim(redis, worker="w", model="tone"):
    return jobs.claim(redis, model, worker)


def finish(redis, job, worker="w", audio=None):
    assert jobs.submit_audio(redis, job.id, worker, audio or make_blob(), 1234) == "OK"
    finalize(redis)


def submit_nothing(redis, job_id, worker):
    """Submit that the text has nothing to say. Returns the status."""
    return jobs.submit(redis, job_id, worker, JobResult("s")).status


def submit_error(redis, job_id, worker, code):
    return jobs.submit(redis, job_id, worker, JobResult("e", code)).status


def finalize(redis):
    consumer = StreamConsumer(ResultHandler(redis), redis)
    while consumer.run_once(wait=False):
        pass


def speak_all(redis, worker="w", model="tone"):
    """Claim and finish until no job is queued. Returns the texts in order."""
    texts = []
    while job := claim(redis, worker, model):
        texts.append(text_of(job))
        finish(redis, job, worker)
    return texts


def at_rest(redis):
    """Whether nothing unfinished is left: invariant I5 of the job protocol."""
    patterns = (
        "job:*",
        "inflight:*",
        "subs:*",
        "res:*",
        "up:*",
        "queue:*",
        "leases",
        "reserved:*",
        "reservations",
    )
    return [key for pattern in patterns for key in redis.keys(pattern)] == [] and redis.xlen("results") == 0
