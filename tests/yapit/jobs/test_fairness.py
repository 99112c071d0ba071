"""However others pile up work, a listener's turn comes: as a property over arrivals of any kind."""

from collections import Counter, deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.redis.scripts import Script, run
from tests.yapit.jobs.job_steps import claim, enqueue, finish, make_spec
from yapit import jobs
from yapit.jobs import Priority

USERS = (1, 2, 3)
LENGTHS = (1, 40, 250, 3000)

ask = st.tuples(st.just("ask"), st.sampled_from(USERS), st.integers(1, 8), st.sampled_from(LENGTHS))
one_claim = st.tuples(st.just("claim"))
finished = st.tuples(st.just("finish"))
days = st.lists(st.one_of(ask, one_claim, one_claim, finished), min_size=10, max_size=50)

# Somebody who was just heard for long asks again, beside a pile of short ones.
BACK_AFTER_A_LONG_ONE = [
    ("ask", 1, 1, 3000),
    ("ask", 2, 8, 1),
    ("claim",),
    ("ask", 1, 1, 40),
    *[("claim",)] * 9,
]
BEHIND_A_PILE = [("ask", 1, 8, 40), ("ask", 1, 8, 40), ("ask", 2, 1, 40), *[("claim",)] * 17]


class Queue:
    """The product's, with as many workers as want a job."""

    def __init__(self, redis, script=jobs.CLAIM):
        self.redis, self.script, self.number, self.in_progress = redis, script, 0, deque()

    def ask(self, user, count, length):
        for _ in range(count):
            self.number += 1
            enqueue(self.redis, make_spec(f"{self.number:06}".ljust(length), chars=length), user=user)

    def claim(self):
        """Whose job it was."""
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

    def ask(self, user, count, length):
        self.line.extend([user] * count)

    def claim(self):
        return self.line.popleft() if self.line else None

    def finish(self):
        pass


def longest_wait(queue, day, workers):
    """The most jobs of any one other user that were claimed while somebody waited for their next one."""
    waiting, queued, in_progress, most = {}, Counter(), 0, 0
    for what, *details in day:
        if what == "ask":
            user, count, length = details
            if not queued[user]:
                waiting[user] = Counter()
            queued[user] += count
            queue.ask(user, count, length)
        elif what == "finish" and in_progress:
            in_progress -= 1
            queue.finish()
        elif what == "claim" and in_progress < workers and (served := queue.claim()):
            in_progress += 1
            queued[served] -= 1
            waiting.pop(served, None)
            if queued[served]:  # and waits again for the next one
                waiting[served] = Counter()
            for others in (those for who, those in waiting.items() if who != served):
                others[served] += 1
                most = max(most, others[served])
    return most


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(day=days, workers=st.integers(1, 4))
def test_until_a_listeners_next_job_is_claimed_few_of_anybody_else_are(redis, day, workers):
    redis.flushall()

    assert longest_wait(Queue(redis), day, workers) <= workers + 2


@pytest.mark.parametrize("day", [BACK_AFTER_A_LONG_ONE, BEHIND_A_PILE])
def test_neither_a_long_job_before_nor_a_pile_ahead_makes_a_listener_wait(redis, day):
    assert longest_wait(Queue(redis), day, workers=99) <= 3


# --- Within one user ------------------------------------------------------------------------------------

PRIORITIES = (Priority.PLAYING, Priority.PREFETCH, Priority.WARM)
wish = st.tuples(st.sampled_from(USERS[:2]), st.sampled_from(PRIORITIES))
hours = st.lists(st.one_of(wish, wish, st.none()), min_size=10, max_size=40)  # None: a worker claims one


def overtaken(hour, claim, ask):
    """Jobs that were claimed before what the same user needed sooner; warming is everybody's."""
    waiting, found = Counter(), []
    for number, wish in enumerate(hour):
        if wish:
            waiting[wish] += 1
            ask(number, *wish)
        elif any(waiting.values()):
            user, priority = claim()
            waiting[user, priority] -= 1
            mine = (user,) if priority < Priority.WARM else USERS
            found += [key for key, count in waiting.items() if count and key[0] in mine and key[1] < priority]
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hour=hours)
def test_what_plays_is_claimed_before_what_is_fetched_ahead_and_that_before_warming(redis, hour):
    redis.flushall()

    def ask(number, user, priority):
        spec = make_spec(f"{user} {priority} {number}")
        enqueue(redis, spec, user=user, priority=priority)

    def claim_one():
        user, priority, _ = claim(redis).text.split()
        return int(user), int(priority)

    assert overtaken(hour, claim_one, ask) == []


def test_in_the_order_of_asking_it_would_be_overtaken():
    """Shows that the property can fail."""
    line = deque()
    hour = [(1, Priority.WARM), (1, Priority.PREFETCH), (1, Priority.PLAYING), None]

    found = overtaken(hour, line.popleft, lambda _, *wish: line.append(wish))

    assert found == [(1, Priority.PREFETCH), (1, Priority.PLAYING)]


# --- Controls -------------------------------------------------------------------------------------------


def test_first_come_first_served_would_make_them_wait():
    """Shows that the property can fail."""
    assert longest_wait(FirstComeFirstServed(), BEHIND_A_PILE, workers=99) == 16


def test_counting_characters_without_bounds_would_make_them_wait(redis):
    unbounded = jobs.CLAIM.text.replace("weight(job.chars)", "tonumber(job.chars)")

    assert longest_wait(Queue(redis, Script(unbounded)), BACK_AFTER_A_LONG_ONE, workers=99) == 8
