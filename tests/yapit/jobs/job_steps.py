"""Short ways to put jobs through their life in tests."""

from dataclasses import replace
from hashlib import sha256

from audiocache import blob
from config.redis import scripts
from config.streams import StreamConsumer
from yapit import jobs
from yapit.jobs import BlockState, Enqueued, EnqueueRequest, JobSpec
from yapit.jobs.results import ResultHandler


def make_work(text="Hello there.", **changes):
    work = JobSpec(
        hash=sha256(text.encode()).hexdigest(),
        text=text,
        model="tone",
        voice="sine",
        params="{}",
        revision="1",
        codec="opus",
        chars=len(text),
        cost=len(text),
        multiplier_bp=10_000,
        usage_type="standard",
    )
    return replace(work, **changes)


def enqueue(redis, work, *, user=1, document="d", index=0, connection="web.1", ceiling=None, **options):
    """`ceiling`: how many characters may be asked for in all, since the first of them; None: any number."""
    member = jobs.member(user, document, index, connection)
    asked = EnqueueRequest(work, member=member, document=document, **options)
    ceilings = {}
    if ceiling is not None:
        redis.hsetnx(f"requested:{user}", work.usage_type, 0)
        ceilings = {work.usage_type: ceiling}
    return Enqueued.read(scripts.run(redis, jobs.enqueue_call(user, [asked], ceilings))).answers[0]


def look(redis, work):
    return BlockState.read(scripts.run(redis, jobs.look_call([work.hash]))[1])


def cancel(redis, work, *, user=1, document="d", index=0, connection="web.1"):
    member = jobs.member(user, document, index, connection)
    return scripts.run(redis, jobs.CANCEL.call(work.hash, member)).decode()


def make_blob(audio=b"OggS" + bytes(100), duration_ms=1234):
    header = blob.header_for(audio, duration_ms=duration_ms, media_type="audio/ogg")
    return blob.pack(header, audio)


def claim(redis, worker="w", model="tone"):
    return jobs.claim(redis, model, worker)


def finish(redis, job, worker="w", audio=None):
    assert jobs.submit_audio(redis, job.id, worker, audio or make_blob(), 1234) == "OK"
    finalize(redis)


def finalize(redis):
    consumer = StreamConsumer(ResultHandler(redis), redis)
    while consumer.run_once(wait=False):
        pass


def speak_all(redis, worker="w", model="tone"):
    """Claim and finish until nothing waits; the texts in the order of their turn."""
    texts = []
    while job := claim(redis, worker, model):
        texts.append(job.text)
        finish(redis, job, worker)
    return texts


def at_rest(redis):
    """Nothing unfinished is left: invariant I5 of the finalize protocol."""
    patterns = ("job:*", "inflight:*", "subs:*", "res:*", "up:*", "queue:*", "leases", "reserved:*")
    return [key for pattern in patterns for key in redis.keys(pattern)] == [] and redis.xlen("results") == 0
