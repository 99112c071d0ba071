"""A Redis without room refuses new work, and nothing that was begun: what is in hand ends, or goes back."""

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

SPEC = make_spec(revision=ToneEngine.revision, params='{"ms_per_character": 1}')


@pytest.fixture
def fill(redis):
    """Call it: from then on there is no room, and nothing may leave."""
    before = redis.config_get("maxmemory*")

    def full():
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            redis.set("any", "thing")

    yield full
    for name in ("maxmemory", "maxmemory-policy"):
        redis.config_set(name, before[name])


def in_progress(redis):
    finalize(redis)  # makes the group, which a full Redis refuses
    enqueue(redis, SPEC)
    return claim(redis)


def test_a_job_in_hand_is_kept_and_given_back_uncounted(redis, fill):
    job = in_progress(redis)
    fill()

    assert jobs.renew(redis, job.id, "w")
    jobs.release(redis, job.id, "w")

    assert claim(redis).attempt == 1


def test_renewing_by_adding_alone_would_be_refused(redis, fill):
    """Shows that the test above can fail."""
    job = in_progress(redis)
    fill()
    adding = Script(text("renew").replace("redis.call('ZREM', 'leases', ARGV[1]) == 0", "false"))

    with pytest.raises(OutOfMemoryError):
        run(redis, adding.call(job.id, "w", 10_000))


def test_a_silent_workers_job_comes_back(redis, fill):
    job = in_progress(redis)
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
def test_what_has_no_audio_is_handed_in_and_told(redis, fill, submit, state):
    job = in_progress(redis)
    fill()

    submit(redis, job)
    finalize(redis)

    assert look(redis, SPEC).state is state


def test_audio_that_was_accepted_is_finished(redis, fill):
    job = in_progress(redis)
    jobs.submit_audio(redis, job.id, "w", make_blob(), 1)
    fill()

    finalize(redis)

    assert look(redis, SPEC).state is State.CACHED
    assert redis.xlen("billing") == redis.xlen("persist") == 1


def test_a_worker_keeps_what_it_made_until_there_is_room(redis, fill):
    enqueue(redis, SPEC)
    fill()
    refused = redis.info("errorstats")["errorstat_OOM"]["count"]
    stop = StopFlag()
    with redis_clients.sync() as ours, redis_clients.blocking(1) as blocking:
        worker = Worker("tone", ToneEngine("tone"), "w", ours, blocking, stop)
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
