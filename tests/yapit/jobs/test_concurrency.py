"""A worker whose handler takes several jobs at once: each has a lease and an end of its own."""

import os
import threading

import pytest
from redis.exceptions import ResponseError

from config.redis import clients as redis_clients
from config.streams import StopFlag
from tests.waiting import wait_until
from tests.yapit.jobs.job_steps import claim, enqueue, finalize, look, make_blob, make_spec
from yapit.jobs import JobResult, State
from yapit.jobs import worker as worker_module
from yapit.jobs.worker import EXIT_HUNG, Worker

PLACES = 4


class Gate:
    """A handler whose jobs wait until they are let through."""

    failed, hung = "gate_failed", "gate_hung"
    concurrency = PLACES
    seconds = 60.0

    def __init__(self, queue=""):
        self.open = threading.Event()
        self.entered = []

    def warm(self):
        pass

    def deadline(self, job):
        return self.seconds

    def handle(self, job):
        self.entered.append(job.id)
        self.open.wait(30)
        return JobResult.stored(make_blob(), duration_ms=1)


@pytest.fixture
def handler():
    return Gate()


@pytest.fixture
def running(redis, handler, monkeypatch):
    """Starts the worker in a thread. `ended` has the exit codes with which the process would have ended."""
    stop = StopFlag()
    with redis_clients.sync() as client, redis_clients.blocking(1) as blocking:
        worker = Worker("tone", "speech", handler, "w", client, blocking, stop)
        worker.ended = []

        def end(code):
            worker.ended.append(code)
            worker.leases.is_over = True

        monkeypatch.setattr(os, "_exit", end)
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        yield worker
        handler.open.set()
        stop.is_set = True
        thread.join(30)


def enqueue_many(redis, count):
    specs = [make_spec(f"text {number}") for number in range(count)]
    for spec in specs:
        enqueue(redis, spec)
    return specs


def test_as_many_jobs_run_at_once_as_the_handler_allows(redis, handler, running):
    specs = enqueue_many(redis, PLACES + 2)
    wait_until(lambda: len(handler.entered) == PLACES)
    assert redis.zcard("leases") == PLACES

    handler.open.set()

    wait_until(lambda: redis.xlen("results") == len(specs))
    finalize(redis)
    assert {look(redis, spec).state for spec in specs} == {State.CACHED}
    assert len(set(handler.entered)) == len(handler.entered) == len(specs)


def test_each_lease_is_renewed(redis, handler, running, settings):
    settings.RENEW_SECONDS = 0.1
    enqueue_many(redis, PLACES)
    wait_until(lambda: redis.zcard("leases") == PLACES)
    before = dict(redis.zrange("leases", 0, -1, withscores=True))

    def renewed():
        now = dict(redis.zrange("leases", 0, -1, withscores=True))
        return len(now) == PLACES and all(now[job] > score for job, score in before.items())

    wait_until(renewed)


def test_when_one_job_hangs_the_others_are_released_uncounted(redis, handler, running, monkeypatch):
    deadlines = iter([0.2, 60.0, 60.0, 60.0])
    monkeypatch.setattr(handler, "deadline", lambda job: next(deadlines))

    enqueue_many(redis, PLACES)

    wait_until(lambda: running.ended)
    assert running.ended == [EXIT_HUNG]
    attempts = sorted(claim(redis, "other").attempt for _ in range(PLACES))
    assert attempts == [1, 1, 1, 2]


def test_a_stopped_worker_releases_all_of_its_jobs(redis, handler, running, monkeypatch):
    monkeypatch.setattr(worker_module, "STOP_GRACE", 0.1)
    enqueue_many(redis, PLACES)
    wait_until(lambda: len(handler.entered) == PLACES)

    running.stop.is_set = True

    wait_until(lambda: running.ended)
    assert running.ended == [0]
    assert [claim(redis, "other").attempt for _ in range(PLACES)] == [1] * PLACES


def test_a_permanent_error_in_any_thread_ends_the_worker(redis, handler, monkeypatch):
    handler.open.set()
    redis.set("queue:tone", "not a sorted set")
    worker = Worker("tone", "speech", handler, "w", redis, redis)

    with pytest.raises(ResponseError):
        worker.run()


def test_a_job_of_another_kind_fails(redis, handler, settings):
    spec = make_spec()
    enqueue(redis, spec)
    worker = Worker("tone", "another", handler, "w", redis, redis)

    while worker.run_once():
        pass

    assert look(redis, spec).detail == b"wrong_kind"
