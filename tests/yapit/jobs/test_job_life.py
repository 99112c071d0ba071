"""A job lives as long as it has subscribers, and one of them pays: a property of any sequence of actions."""

from collections import Counter, deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.redis.scripts import Script, run
from tests.yapit.jobs.job_steps import (
    cancel,
    claim,
    enqueue,
    finalize,
    make_blob,
    make_spec,
    spec_of,
    submit_error,
)
from yapit import jobs
from yapit.jobs.lua import text

SPECS = [make_spec(letter * length) for letter, length in zip("abc", (10, 25, 40), strict=True)]
USERS = (1, 2, 3)

user_and_block = st.tuples(st.sampled_from(USERS), st.sampled_from(range(len(SPECS))))
requests = st.tuples(st.just("request"), user_and_block)
cancels = st.tuples(st.just("cancel"), user_and_block)
worker_actions = st.tuples(st.sampled_from(["claim", "finish", "fail", "release", "lose"]), st.none())
sequences = st.lists(st.one_of(requests, cancels, worker_actions), min_size=8, max_size=25)


class Session:
    """Actions of users and workers, and the resulting subscribers of each job."""

    def __init__(self, redis):
        self.redis = redis
        self.in_progress = deque()
        self.subscribers = {spec.hash: set() for spec in SPECS}
        self.last_payer = {spec.hash: None for spec in SPECS}  # the last subscriber to leave

    def request(self, user, number):
        if self.redis.exists(f"audio:{SPECS[number].hash}"):
            return
        enqueue(self.redis, SPECS[number], user=user, index=number)
        self.subscribers[SPECS[number].hash].add(user)

    def cancel(self, user, number):
        cancel(self.redis, SPECS[number], user=user, index=number)
        if self.subscribers[SPECS[number].hash] == {user}:
            self.last_payer[SPECS[number].hash] = user
        self.subscribers[SPECS[number].hash].discard(user)

    def claim(self):
        if job := claim(self.redis):
            self.in_progress.append(job)

    def finish(self):
        if self.in_progress:
            job = self.in_progress.popleft()
            jobs.submit_audio(self.redis, job.id, "w", make_blob(), 1)
            finalize(self.redis)
            self.subscribers[job.spec.key].clear()

    def fail(self):
        if self.in_progress:
            job = self.in_progress.popleft()
            submit_error(self.redis, job.id, "w", "engine_failed")
            finalize(self.redis)
            self.subscribers[job.spec.key].clear()

    def release(self):
        if self.in_progress:
            jobs.release(self.redis, self.in_progress.popleft().id, "w")

    def lose(self):
        if self.in_progress:
            job = self.in_progress.popleft()
            self.redis.zadd("leases", {job.id: 0})
            jobs.reap(self.redis)
            if not self.redis.exists(f"job:{job.id}"):  # that was the last attempt
                self.subscribers[job.spec.key].clear()


def unfinished(redis):
    """Payer and cost of the unfinished jobs by key, and whether each is queued."""
    stored = {}
    queued = {job for key in redis.keys("queue:tone:*") for job in redis.zrange(key, 0, -1)}
    for key in redis.keys("job:*"):
        fields = redis.hgetall(key)
        spec = spec_of(fields)
        assert spec.key not in stored, "two jobs for one key"
        stored[spec.key] = {
            "user": fields[b"user"].decode(),
            "cost": spec.cost,
            "queued": key.removeprefix(b"job:") in queued,
        }
    return stored


def expected_reservations(redis, unfinished_jobs):
    reserved = Counter()
    for job in unfinished_jobs.values():
        reserved[job["user"]] += int(job["cost"])
    for _, charge in redis.xrange("billing"):
        reserved[charge[b"user"].decode()] += int(charge[b"cost"])
    return reserved


def check(session):
    unfinished_jobs = unfinished(session.redis)
    for hash_, users in session.subscribers.items():
        job = unfinished_jobs.get(hash_)
        if users:
            assert job, "a subscriber has no job"
            assert int(job["user"]) in users, "the payer is no subscriber"
        elif job:
            assert not job["queued"], "a queued job has no subscriber"
            assert int(job["user"]) == session.last_payer[hash_]
    stored = {key.decode().removeprefix("reserved:"): key for key in session.redis.keys("reserved:*")}
    assert {user: int(session.redis.hget(key, "standard")) for user, key in stored.items()} == {
        user: cost for user, cost in expected_reservations(session.redis, unfinished_jobs).items() if cost
    }


def perform(session, actions):
    for action, details in actions:
        getattr(session, action)(*details or ())
        check(session)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=sequences)
def test_every_subscriber_has_a_job_and_every_payer_is_a_subscriber(redis, actions):
    redis.flushall()

    perform(Session(redis), actions)


LEFT_AND_JOINED = [
    ("request", (1, 0)),
    ("claim", ()),
    ("cancel", (1, 0)),
    ("request", (2, 0)),
    ("cancel", (2, 0)),
]
PAYER_CANCELS = [("request", (1, 0)), ("request", (2, 0)), ("cancel", (1, 0))]
ALL_CANCEL_AND_THE_WORKER_IS_LOST = [("request", (1, 0)), ("claim", ()), ("cancel", (1, 0)), ("lose", ())]


@pytest.mark.parametrize("actions", [PAYER_CANCELS, LEFT_AND_JOINED, ALL_CANCEL_AND_THE_WORKER_IS_LOST])
def test_leaving_payers_and_workers_keep_the_property(redis, actions):
    perform(Session(redis), actions)


def test_without_handing_over_a_user_who_left_would_pay(redis):
    """The control of the property."""
    unfair = Script(
        text("cancel").replace("if next_payer then", "if next_payer then return 'KEPT' end\nif nil then")
    )

    class Unfair(Session):
        def cancel(self, user, number):
            member = jobs.member(user, "d", number, "web.1")
            run(self.redis, unfair.call(SPECS[number].hash, member))
            self.subscribers[SPECS[number].hash].discard(user)

    with pytest.raises(AssertionError, match="the payer is no subscriber"):
        perform(Unfair(redis), PAYER_CANCELS)
