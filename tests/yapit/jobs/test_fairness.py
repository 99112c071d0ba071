"""Fairness: the waiting time of a user is bounded, as a property of any sequence of requests."""

from collections import Counter, deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.redis.scripts import Script, run
from tests.yapit.jobs.job_steps import claim, enqueue, finish, make_spec, text_of
from yapit import jobs
from yapit.jobs import Priority

USERS = (1, 2, 3)
LENGTHS = (1, 40, 250, 3000)

request = st.tuples(st.just("request"), st.sampled_from(USERS), st.integers(1, 8), st.sampled_from(LENGTHS))
a_claim = st.tuples(st.just("claim"))
a_finish = st.tuples(st.just("finish"))
sequences = st.lists(st.one_of(request, a_claim, a_claim, a_finish), min_size=10, max_size=50)

# A user returns after a long job, while another one has many short jobs queued.
RETURN_AFTER_A_LONG_JOB = [
    ("request", 1, 1, 3000),
    ("request", 2, 8, 1),
    ("claim",),
    ("request", 1, 1, 40),
    *[("claim",)] * 9,
]
BEHIND_MANY_JOBS = [("request", 1, 8, 40), ("request", 1, 8, 40), ("request", 2, 1, 40), *[("claim",)] * 17]


class Queue:
    """The queue of the product, with any number of workers."""

    def __init__(self, redis, script=jobs.CLAIM):
        self.redis, self.script, self.number, self.in_progress = redis, script, 0, deque()

    def request(self, user, count, length):
        for _ in range(count):
            self.number += 1
            enqueue(self.redis, make_spec(f"{self.number:06}".ljust(length), chars=length), user=user)

    def claim(self):
        """Claim a job. Returns its user, or None."""
        raw = run(self.redis, self.script.call("tone", "w", 60_000))
        if not raw:
            return None
        self.in_progress.append(jobs.Claimed.read(raw))
        return int(self.redis.hget(f"job:{raw[0].decode()}", "user"))

    def finish(self):
        if self.in_progress:
            finish(self.redis, self.in_progress.popleft())


class FirstComeFirstServed(Queue):
    def __init__(self):
        self.line = deque()

    def request(self, user, count, length):
        self.line.extend([user] * count)

    def claim(self):
        return self.line.popleft() if self.line else None

    def finish(self):
        pass


def longest_wait(queue, actions, workers):
    """Maximum of jobs of one other user that were claimed while a user waited for the next job."""
    waiting, queued, in_progress, most = {}, Counter(), 0, 0
    for action, *details in actions:
        if action == "request":
            user, count, length = details
            if not queued[user]:
                waiting[user] = Counter()
            queued[user] += count
            queue.request(user, count, length)
        elif action == "finish" and in_progress:
            in_progress -= 1
            queue.finish()
        elif action == "claim" and in_progress < workers and (served := queue.claim()):
            in_progress += 1
            queued[served] -= 1
            waiting.pop(served, None)
            if queued[served]:  # the user waits for the next job
                waiting[served] = Counter()
            for others in (claims for waiting_user, claims in waiting.items() if waiting_user != served):
                others[served] += 1
                most = max(most, others[served])
    return most


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=sequences, workers=st.integers(1, 4))
def test_few_jobs_of_any_other_user_are_claimed_before_the_next_job_of_a_user(redis, actions, workers):
    redis.flushall()

    assert longest_wait(Queue(redis), actions, workers) <= workers + 2


@pytest.mark.parametrize("actions", [RETURN_AFTER_A_LONG_JOB, BEHIND_MANY_JOBS])
def test_neither_a_long_job_before_nor_a_pile_of_others_makes_a_user_wait(redis, actions):
    assert longest_wait(Queue(redis), actions, workers=99) <= 3


# --- Within one user -------------------------------------------------------------------------------------

PRIORITIES = (Priority.PLAYING, Priority.PREFETCH, Priority.WARM)
user_and_priority = st.tuples(st.sampled_from(USERS[:2]), st.sampled_from(PRIORITIES))
# None: a worker claims a job.
priority_sequences = st.lists(
    st.one_of(user_and_priority, user_and_priority, st.none()), min_size=10, max_size=40
)


def overtaken(actions, claim, request):
    """More urgent jobs of the same user that waited during a claim; warming belongs to all users."""
    waiting, overtaken_jobs = Counter(), []
    for number, user_and_priority in enumerate(actions):
        if user_and_priority:
            waiting[user_and_priority] += 1
            request(number, *user_and_priority)
        elif any(waiting.values()):
            user, priority = claim()
            waiting[user, priority] -= 1
            affected = (user,) if priority < Priority.WARM else USERS
            overtaken_jobs += [
                key for key, count in waiting.items() if count and key[0] in affected and key[1] < priority
            ]
    return overtaken_jobs


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=priority_sequences)
def test_playing_is_claimed_before_prefetch_and_prefetch_before_warming(redis, actions):
    redis.flushall()

    def request(number, user, priority):
        spec = make_spec(f"{user} {priority} {number}")
        enqueue(redis, spec, user=user, priority=priority)

    def claim_one():
        user, priority, _ = text_of(claim(redis)).split()
        return int(user), int(priority)

    assert overtaken(actions, claim_one, request) == []


def test_in_the_order_of_requests_urgent_jobs_would_be_overtaken():
    """The control of the property."""
    line = deque()
    actions = [(1, Priority.WARM), (1, Priority.PREFETCH), (1, Priority.PLAYING), None]

    overtaken_jobs = overtaken(
        actions, line.popleft, lambda _, *user_and_priority: line.append(user_and_priority)
    )

    assert overtaken_jobs == [(1, Priority.PREFETCH), (1, Priority.PLAYING)]


# --- Controls --------------------------------------------------------------------------------------------


def test_first_come_first_served_would_make_users_wait():
    """The control of the property."""
    assert longest_wait(FirstComeFirstServed(), BEHIND_MANY_JOBS, workers=99) == 16


def test_unbounded_weights_would_make_users_wait(redis):
    unbounded = jobs.CLAIM.text.replace("weight(job.units)", "job.units")

    assert longest_wait(Queue(redis, Script(unbounded)), RETURN_AFTER_A_LONG_JOB, workers=99) == 8
