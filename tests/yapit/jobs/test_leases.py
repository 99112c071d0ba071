"""Leases: a job with an expired lease is queued again once; malformed jobs delay no others."""

import threading

import msgspec
import pytest

from config.redis import clients as redis_clients
from tests.yapit.jobs.job_steps import change_spec, claim, enqueue, look, make_spec, text_of
from yapit import jobs
from yapit.jobs import State

SPEC = make_spec()


def expired(redis, count):
    """Claimed jobs whose leases have expired."""
    for number in range(count):
        enqueue(redis, make_spec(f"block {number}"), user=number % 3)
    claimed = [claim(redis, "gone") for _ in range(count)]
    redis.zadd("leases", {job.id: 0 for job in claimed})
    return claimed


def test_a_lease_ends_by_the_clock_of_redis(redis, settings):
    enqueue(redis, SPEC)
    job = claim(redis, "gone")
    seconds, micros = redis.time()

    left = redis.zscore("leases", job.id) / 1000 - (seconds + micros / 1e6)

    assert 0 < left <= settings.LEASE_SECONDS


def test_concurrent_schedulers_reap_each_job_once(redis):
    expired(redis, 50)
    start, taken = threading.Barrier(4), []

    def schedule():
        with redis_clients.sync() as client:
            start.wait()
            for _ in range(20):
                taken.append(jobs.reap(client))

    threads = [threading.Thread(target=schedule) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    again = [job for _ in range(51) if (job := claim(redis, "other"))]
    assert sum(taken) == 50
    assert len({job.id for job in again}) == len(again) == 50
    assert {job.attempt for job in again} == {2}


def test_a_second_scheduler_does_not_reap_a_job_that_was_claimed_again(redis):
    expired(redis, 1)
    jobs.reap(redis)
    claim(redis, "other")

    jobs.reap(redis)

    assert claim(redis, "a third") is None


def test_without_an_atomic_script_two_workers_would_get_one_job(redis):
    """The control of the test above: two schedulers that both read before either writes."""
    [job] = expired(redis, 1)
    read_by_both = [redis.zrangebyscore("leases", "-inf", 1) for _ in range(2)]

    def requeue(seen):
        for job_id in seen:
            redis.zrem("leases", job_id)
            redis.zadd("queue:tone:0", {job_id: 0})
            redis.zadd("queue:tone", {"0": 0})

    requeue(read_by_both[0])
    first = claim(redis, "other")
    requeue(read_by_both[1])

    assert first.id == claim(redis, "a third").id == job.id


@pytest.mark.parametrize("kind", ["gone", "string", "empty", "no number"])
def test_a_lease_of_a_malformed_job_does_not_delay_the_others(redis, kind):
    [job] = expired(redis, 1)
    redis.zadd("leases", {"x": 0})
    if kind == "string":
        redis.set("job:x", "what?")
    elif kind == "empty":
        redis.hset("job:x", "spec", msgspec.msgpack.encode([{"key": "of nothing"}, [], b""]))
    elif kind == "no number":
        redis.hset("job:x", mapping={**redis.hgetall(f"job:{job.id}"), "attempts": "many"})

    assert jobs.reap(redis) == 2

    assert claim(redis, "other").id == job.id
    assert redis.zrange("leases", 0, -1) == [job.id.encode()]


def test_malformed_jobs_in_the_queue_do_not_delay_the_others(redis):
    enqueue(redis, SPEC)
    redis.zadd("queue:tone:1", {"no job": -3, "a string": -2, "half a job": -1})
    redis.set("job:a string", "what?")
    redis.hset(
        "job:half a job", "spec", msgspec.msgpack.encode([{"key": "of something", "kind": "speech"}, [], b""])
    )
    redis.set("inflight:of something", "half a job")

    assert text_of(claim(redis)) == SPEC.text
    assert not redis.exists("job:half a job", "inflight:of something")


def test_a_request_after_a_malformed_job_creates_another(redis):
    enqueue(redis, SPEC)
    [key] = redis.keys("job:*")
    change_spec(redis, key, units=None)
    assert claim(redis) is None

    assert look(redis, SPEC).state is State.NONE
    assert enqueue(redis, SPEC).state is State.QUEUED
