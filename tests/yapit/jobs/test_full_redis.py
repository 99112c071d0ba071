"""A full Redis refuses new jobs only: claimed ones are finished or released."""

import threading

import pytest
from redis.exceptions import OutOfMemoryError

from config.redis import clients as redis_clients
from config.redis.scripts import Script, run
from config.streams import StopFlag
from tests.waiting import wait_until
from tests.yapit.jobs.job_steps import (
    claim,
    enqueue,
    finalize,
    look,
    make_blob,
    make_spec,
    submit_error,
    submit_nothing,
)
from yapit import jobs
from yapit.engines.tone import ToneEngine
from yapit.jobs import State
from yapit.jobs.lua import text
from yapit.jobs.worker import Worker
from yapit.synthesis.speech_handler import SpeechHandler

SPEC = make_spec(revision=ToneEngine.revision, params='{"ms_per_character": 1}')


@pytest.fixture
def fill(redis):
    """A function that fills Redis: no room, and no eviction."""
    before = redis.config_get("maxmemory*")

    def full():
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            redis.set("any", "thing")

    yield full
    for name in ("maxmemory", "maxmemory-policy"):
        redis.config_set(name, before[name])


def claimed(redis):
    finalize(redis)  # creates the consumer group, which a full Redis refuses
    enqueue(redis, SPEC)
    return claim(redis)


def test_a_claimed_job_is_renewed_and_released_uncounted(redis, fill):
    job = claimed(redis)
    fill()

    assert jobs.renew(redis, job.id, "w")
    jobs.release(redis, job.id, "w")

    assert claim(redis).attempt == 1


def test_renewing_without_removing_first_would_be_refused(redis, fill):
    """The control of the test above."""
    job = claimed(redis)
    fill()
    add_only = Script(text("renew").replace("redis.call('ZREM', 'leases', ARGV[1]) == 0", "false"))

    with pytest.raises(OutOfMemoryError):
        run(redis, add_only.call(job.id, "w", 10_000))


def test_the_job_of_a_silent_worker_is_queued_again(redis, fill):
    job = claimed(redis)
    redis.zadd("leases", {job.id: 0})
    fill()

    assert jobs.reap(redis) == 1
    assert claim(redis, "other").attempt == 2


@pytest.mark.parametrize(
    ("submit", "state"),
    [
        (lambda redis, job: submit_nothing(redis, job.id, "w"), State.SKIPPED),
        (lambda redis, job: submit_error(redis, job.id, "w", "engine_failed"), State.ERROR),
    ],
)
def test_results_without_audio_are_submitted_and_finalized(redis, fill, submit, state):
    job = claimed(redis)
    fill()

    submit(redis, job)
    finalize(redis)

    assert look(redis, SPEC).state is state


def test_accepted_audio_is_finalized(redis, fill):
    job = claimed(redis)
    jobs.submit_audio(redis, job.id, "w", make_blob(), 1)
    fill()

    finalize(redis)

    assert look(redis, SPEC).state is State.CACHED
    assert redis.xlen("billing") == redis.xlen("persist") == 1


def test_a_worker_keeps_its_result_until_redis_has_room(redis, fill):
    enqueue(redis, SPEC)
    fill()
    refused = redis.info("errorstats")["errorstat_OOM"]["count"]
    stop = StopFlag()
    with redis_clients.sync() as client, redis_clients.blocking(1) as blocking:
        worker = Worker("tone", "speech", SpeechHandler("tone"), "w", client, blocking, stop)
        working = threading.Thread(target=worker.run, daemon=True)
        working.start()
        wait_until(lambda: redis.info("errorstats").get("errorstat_OOM", {"count": 0})["count"] > refused + 2)
        assert working.is_alive()

        redis.config_set("maxmemory", "512mb")

        wait_until(lambda: redis.xlen("results"))
        stop.is_set = True
        working.join(30)
    finalize(redis)
    assert look(redis, SPEC).state is State.CACHED
