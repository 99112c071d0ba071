"""A job lives as long as anybody waits for it, and somebody who waits pays: as a property of any day."""

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
    submit_error,
)
from yapit import jobs
from yapit.jobs.lua import text

SPECS = [make_spec(letter * length) for letter, length in zip("abc", (10, 25, 40), strict=True)]
USERS = (1, 2, 3)

someone = st.tuples(st.sampled_from(USERS), st.sampled_from(range(len(SPECS))))
asks = st.tuples(st.just("ask"), someone)
leaves = st.tuples(st.just("leave"), someone)
others = st.tuples(st.sampled_from(["claim", "finish", "give_up", "give_back", "fall_silent"]), st.none())
days = st.lists(st.one_of(asks, leaves, others), min_size=8, max_size=25)


class Day:
    """What listeners and workers did, and who waits for what."""

    def __init__(self, redis):
        self.redis = redis
        self.in_progress = deque()
        self.waiting = {spec.hash: set() for spec in SPECS}
        self.left = {spec.hash: None for spec in SPECS}  # the last to leave

    def ask(self, user, number):
        if self.redis.exists(f"audio:{SPECS[number].hash}"):
            return
        enqueue(self.redis, SPECS[number], user=user, index=number)
        self.waiting[SPECS[number].hash].add(user)

    def leave(self, user, number):
        cancel(self.redis, SPECS[number], user=user, index=number)
        if self.waiting[SPECS[number].hash] == {user}:
            self.left[SPECS[number].hash] = user
        self.waiting[SPECS[number].hash].discard(user)

    def claim(self):
        if job := claim(self.redis):
            self.in_progress.append(job)

    def finish(self):
        if self.in_progress:
            job = self.in_progress.popleft()
            jobs.submit_audio(self.redis, job.id, "w", make_blob(), 1)
            finalize(self.redis)
            self.waiting[job.hash].clear()

    def give_up(self):
        if self.in_progress:
            job = self.in_progress.popleft()
            submit_error(self.redis, job.id, "w", "engine_failed")
            finalize(self.redis)
            self.waiting[job.hash].clear()

    def give_back(self):
        if self.in_progress:
            jobs.release(self.redis, self.in_progress.popleft().id, "w")

    def fall_silent(self):
        if self.in_progress:
            job = self.in_progress.popleft()
            self.redis.zadd("leases", {job.id: 0})
            jobs.reap(self.redis)
            if not self.redis.exists(f"job:{job.id}"):  # that was the last attempt
                self.waiting[job.hash].clear()


def unfinished(redis):
    """The jobs by hash, and of each whether it is queued."""
    found = {}
    queued = {job for key in redis.keys("queue:tone:*") for job in redis.zrange(key, 0, -1)}
    for key in redis.keys("job:*"):
        job = {name.decode(): value.decode() for name, value in redis.hgetall(key).items()}
        assert job["hash"] not in found, "two jobs for one hash"
        found[job["hash"]] = job | {"queued": key.removeprefix(b"job:") in queued}
    return found


def what_is_due(redis, alive):
    due = Counter()
    for job in alive.values():
        due[job["user"]] += int(job["cost"])
    for _, charge in redis.xrange("billing"):
        due[charge[b"user"].decode()] += int(charge[b"cost"])
    return due


def check(day):
    alive = unfinished(day.redis)
    for hash_, users in day.waiting.items():
        job = alive.get(hash_)
        if users:
            assert job, "somebody waits for nothing"
            assert int(job["user"]) in users, "somebody pays who does not wait"
        elif job:
            assert not job["queued"], "nobody waits for what is queued"
            assert int(job["user"]) == day.left[hash_]
    found = {key.decode().removeprefix("reserved:"): key for key in day.redis.keys("reserved:*")}
    assert {user: int(day.redis.hget(key, "standard")) for user, key in found.items()} == {
        user: cost for user, cost in what_is_due(day.redis, alive).items() if cost
    }


def live(day, deeds):
    for deed, details in deeds:
        getattr(day, deed)(*details or ())
        check(day)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=days)
def test_who_waits_has_a_job_and_whoever_pays_waits(redis, deeds):
    redis.flushall()

    live(Day(redis), deeds)


LEFT_AND_COME_TO = [("ask", (1, 0)), ("claim", ()), ("leave", (1, 0)), ("ask", (2, 0)), ("leave", (2, 0))]
PAYER_LEAVES = [("ask", (1, 0)), ("ask", (2, 0)), ("leave", (1, 0))]
ALL_LEAVE_AND_THE_WORKER_TOO = [("ask", (1, 0)), ("claim", ()), ("leave", (1, 0)), ("fall_silent", ())]


@pytest.mark.parametrize("deeds", [PAYER_LEAVES, LEFT_AND_COME_TO, ALL_LEAVE_AND_THE_WORKER_TOO])
def test_neither_a_payer_nor_a_worker_that_goes_leaves_anything_odd(redis, deeds):
    live(Day(redis), deeds)


def test_without_handing_over_somebody_would_pay_who_does_not_wait(redis):
    """Shows that the property can fail."""
    unfair = Script(
        text("cancel").replace("if next_payer then", "if next_payer then return 'KEPT' end\nif nil then")
    )

    class Unfair(Day):
        def leave(self, user, number):
            member = jobs.member(user, "d", number, "web.1")
            run(self.redis, unfair.call(SPECS[number].hash, member))
            self.waiting[SPECS[number].hash].discard(user)

    with pytest.raises(AssertionError, match="pays who does not wait"):
        live(Unfair(redis), PAYER_LEAVES)
