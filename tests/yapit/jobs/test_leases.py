"""Jobs whose worker went silent come back once, whoever looks for them; nonsense among them stops nobody."""

import threading

import pytest

from config.redis import clients as redis_clients
from tests.yapit.jobs.job_steps import claim, enqueue, look, make_spec
from yapit import jobs
from yapit.jobs import State

SPEC = make_spec()


def lost(redis, count):
    """Claimed by a worker that is gone; their leases are over."""
    for number in range(count):
        enqueue(redis, make_spec(f"block {number}"), user=number % 3)
    claimed = [claim(redis, "gone") for _ in range(count)]
    redis.zadd("leases", {job.id: 0 for job in claimed})
    return claimed


def test_a_lease_is_over_within_its_time_by_the_clock_of_redis(redis, settings):
    enqueue(redis, SPEC)
    job = claim(redis, "gone")
    seconds, micros = redis.time()

    left = redis.zscore("leases", job.id) / 1000 - (seconds + micros / 1e6)

    assert 0 < left <= settings.LEASE_SECONDS


def test_of_many_schedulers_one_takes_each_job_back(redis):
    lost(redis, 50)
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


def test_a_second_scheduler_takes_no_job_from_the_worker_that_has_it_meanwhile(redis):
    lost(redis, 1)
    jobs.reap(redis)
    claim(redis, "other")

    jobs.reap(redis)

    assert claim(redis, "a third") is None


def test_looking_first_and_taking_back_then_gives_one_job_to_two_workers(redis):
    """Shows that the test above can fail: two schedulers that look before either acts."""
    [job] = lost(redis, 1)
    seen_by_both = [redis.zrangebyscore("leases", "-inf", 1) for _ in range(2)]

    def take_back(seen):
        for job_id in seen:
            redis.zrem("leases", job_id)
            redis.zadd("queue:tone:0", {job_id: 0})
            redis.zadd("queue:tone", {"0": 0})

    take_back(seen_by_both[0])
    first = claim(redis, "other")
    take_back(seen_by_both[1])

    assert first.id == claim(redis, "a third").id == job.id


@pytest.mark.parametrize("nonsense", ["gone", "string", "empty", "no number"])
def test_a_lease_on_nonsense_does_not_keep_others_from_coming_back(redis, nonsense):
    [job] = lost(redis, 1)
    redis.zadd("leases", {"x": 0})
    if nonsense == "string":
        redis.set("job:x", "what?")
    elif nonsense == "empty":
        redis.hset("job:x", "hash", "of nothing")
    elif nonsense == "no number":
        redis.hset("job:x", mapping={**redis.hgetall(f"job:{job.id}"), "attempts": "many"})

    assert jobs.reap(redis) == 2

    assert claim(redis, "other").id == job.id
    assert redis.zrange("leases", 0, -1) == [job.id.encode()]


def test_nonsense_in_the_queue_does_not_keep_others_from_their_turn(redis):
    enqueue(redis, SPEC)
    redis.zadd("queue:tone:1", {"no job": -3, "a string": -2, "half a job": -1})
    redis.set("job:a string", "what?")
    redis.hset("job:half a job", mapping={"hash": "of something", "text": "without a voice"})
    redis.set("inflight:of something", "half a job")

    assert claim(redis).text == SPEC.text
    assert not redis.exists("job:half a job", "inflight:of something")


def test_who_waits_for_a_job_that_became_nonsense_asks_again_and_gets_another(redis):
    enqueue(redis, SPEC)
    [key] = redis.keys("job:*")
    redis.hdel(key, "text")
    assert claim(redis) is None

    assert look(redis, SPEC).state is State.NONE
    assert enqueue(redis, SPEC).state is State.QUEUED
