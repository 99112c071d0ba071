"""A reservation belongs to one job and ends with it, whatever becomes of the job and of its billing entry."""

import pytest

from billing.usage.consumer import BillingHandler
from config.streams import StreamConsumer, dead_letters
from tests.billing.usage_events import reserved
from tests.yapit.jobs.job_steps import (
    at_rest,
    cancel,
    claim,
    enqueue,
    finalize,
    finish,
    make_blob,
    make_spec,
    submit_error,
    submit_nothing,
)
from yapit import jobs
from yapit.jobs import JobResult

SPEC = make_spec()  # of 12 characters


def finished(redis, spec=SPEC, user=1):
    """A finished job; return the id of its billing entry."""
    enqueue(redis, spec, user=user, document="")
    finish(redis, claim(redis))
    return redis.xrevrange("billing", count=1)[0][0]


def refuse(redis):
    """Billing makes a dead letter of its next entry, as after an error of the database."""
    consumer = StreamConsumer(BillingHandler(), redis)
    [entry] = consumer.read(wait=False).entries
    consumer.dead_letter(entry, "DataError 22003")


def test_they_are_found_without_a_search(redis):
    """A list of up to 512 fields took a tenth of the server's time for each job."""
    finished(redis)
    assert redis.object("encoding", "reservations") == b"hashtable"
    refuse(redis)
    dead_letters.replay(redis, "billing", dead_letters.all_ids(redis, "billing"))

    assert redis.object("encoding", "reservations") == b"hashtable"


def test_it_is_kept_until_the_use_is_charged(redis):
    finished(redis)
    jobs.reap_reservations(redis)

    assert reserved(redis, 1) == {b"standard": b"12"}

    consumer = StreamConsumer(BillingHandler(), redis)
    consumer.acknowledge(consumer.read(wait=False).entries)
    assert at_rest(redis)


@pytest.mark.parametrize("submit", [submit_nothing, lambda *job: submit_error(*job, "engine_failed")])
def test_it_ends_with_a_job_without_a_result(redis, submit):
    enqueue(redis, SPEC)
    submit(redis, claim(redis).id, "w")
    finalize(redis)

    assert at_rest(redis)


def test_it_follows_the_job_to_another_payer(redis):
    enqueue(redis, SPEC, user=1, document="")
    enqueue(redis, SPEC, user=2, document="")
    cancel(redis, SPEC, user=1, document="")

    assert (reserved(redis, 1), reserved(redis, 2)) == ({}, {b"standard": b"12"})

    finish(redis, claim(redis))
    refuse(redis)
    assert at_rest(redis)


def test_a_refused_use_reserves_nothing_until_it_is_replayed(redis):
    finished(redis)
    refuse(redis)
    assert reserved(redis, 1) == {}
    letters = dead_letters.all_ids(redis, "billing")

    assert dead_letters.replay(redis, "billing", letters) == 1
    assert dead_letters.replay(redis, "billing", letters) == 0
    jobs.reap_reservations(redis)  # the new entry is known

    assert reserved(redis, 1) == {b"standard": b"12"}


def test_a_replayed_use_that_is_refused_again_and_dropped_reserves_nothing(redis):
    finished(redis)
    refuse(redis)
    dead_letters.replay(redis, "billing", dead_letters.all_ids(redis, "billing"))
    refuse(redis)
    dead_letters.drop(redis, "billing", dead_letters.all_ids(redis, "billing"))

    assert at_rest(redis)


def test_a_lost_entry_frees_its_reservation_and_no_other(redis):
    lost = finished(redis)
    finished(redis, make_spec("Another one."))
    enqueue(redis, make_spec("A third one."))
    redis.xdel("billing", lost)

    jobs.reap_reservations(redis)

    assert reserved(redis, 1) == {b"standard": b"24"}
    assert redis.hlen("reservations") == 2


def test_without_the_reaper_the_reservation_of_a_lost_entry_stays(redis):
    redis.xdel("billing", finished(redis))

    assert reserved(redis, 1) == {b"standard": b"12"}


def test_an_unreadable_entry_frees_its_reservation(redis):
    entry = finished(redis)
    [(_, fields)] = redis.xrange("billing", entry, entry)
    redis.xdel("billing", entry)
    redis.xadd("billing", fields | {b"chars": b"many"})
    StreamConsumer(BillingHandler(), redis).read(wait=False)
    assert redis.xlen("dead:billing") == 1

    jobs.reap_reservations(redis)

    assert at_rest(redis)


def test_more_reservations_than_one_step_takes_are_reaped(redis, monkeypatch):
    monkeypatch.setattr(jobs.protocol, "REAP_BATCH", 3)
    for number in range(600):  # more than Redis keeps in one piece
        redis.hset("reservations", f"gone-{number}", "1 standard 5 1-1")
    redis.hset("reserved:1", "standard", 3000)

    jobs.reap_reservations(redis)

    assert at_rest(redis)


def test_what_a_result_costs_less_is_given_back(redis):
    enqueue(redis, SPEC, limit=100)
    job = claim(redis)
    result = JobResult.stored(make_blob(), cost=5, duration_ms=1)

    assert jobs.submit(redis, job.id, "w", result).status == "OK"
    assert reserved(redis, 1) == {b"standard": b"12"}
    finalize(redis)

    assert reserved(redis, 1) == {b"standard": b"5"}
    assert redis.hget("requested:1", "standard") == b"5"
    [(_, use)] = redis.xrange("billing")
    assert use[b"cost"] == b"5"


def test_a_result_that_costs_nothing_reserves_nothing(redis):
    enqueue(redis, SPEC)
    jobs.submit(redis, claim(redis).id, "w", JobResult.stored(make_blob(), cost=0, duration_ms=1))
    finalize(redis)

    assert at_rest(redis)


@pytest.mark.parametrize("cost", [13, -1])
def test_a_result_that_costs_more_than_was_reserved_is_refused(redis, cost):
    enqueue(redis, SPEC)
    job = claim(redis)

    assert jobs.submit(redis, job.id, "w", JobResult.stored(make_blob(), cost=cost)).status == "EXCEEDED"

    assert redis.xlen("results") == 0
    assert not redis.keys("up:*")
    assert redis.hget(f"job:{job.id}", "worker") == b"w"
    assert reserved(redis, 1) == {b"standard": b"12"}


def test_the_cost_of_an_attempt_whose_bytes_were_lost_is_forgotten(redis):
    enqueue(redis, SPEC)
    job = claim(redis)
    jobs.submit(redis, job.id, "w", JobResult.stored(make_blob(), cost=5, duration_ms=1))
    redis.delete(f"res:{job.id}")
    finalize(redis)
    assert reserved(redis, 1) == {b"standard": b"12"}

    finish(redis, claim(redis))

    [(_, use)] = redis.xrange("billing")
    assert use[b"cost"] == b"12"
