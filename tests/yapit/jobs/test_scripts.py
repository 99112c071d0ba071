"""The scripts of the job protocol, on a real Valkey."""

import threading

import pytest
from prometheus_client import REGISTRY
from redis.exceptions import OutOfMemoryError

from audiocache import blob
from billing.usage.events import UsageEvent
from config.redis import scripts
from config.redis.multiplexed import MultiplexedConnection
from config.redis.pipeline import pipeline_of
from config.streams import MAX_DELIVERIES, StreamConsumer
from tests.yapit.jobs.job_steps import (
    at_rest,
    cancel,
    change_spec,
    claim,
    enqueue,
    finalize,
    finish,
    look,
    make_blob,
    make_spec,
    payload_of,
    speak_all,
    submit_error,
    submit_nothing,
    text_of,
)
from yapit import jobs
from yapit.jobs import Enqueued, EnqueueRequest, Priority, State, protocol
from yapit.jobs.results import ResultHandler

SPEC = make_spec()


def subscribe(redis, process="web"):
    pubsub = redis.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(f"notify:{process}")
    pubsub.get_message(timeout=1)
    return pubsub


def received(pubsub):
    message = pubsub.get_message(timeout=1)
    return message and (message["data"][:64].decode(), message["data"][64:65], message["data"][65:])


def test_a_block_goes_from_queue_to_audio_and_leaves_nothing_behind(redis):
    with subscribe(redis) as pubsub:
        assert enqueue(redis, SPEC).state is State.QUEUED
        job = claim(redis)
        payload = payload_of(job)
        assert (payload.text, payload.voice, payload.params) == ("Hello there.", "sine", "{}")
        assert job.attempt == 1
        finish(redis, job)

        variant, status, header = received(pubsub)

    assert (variant, status) == (SPEC.hash, b"c")
    assert blob.header_of(header).duration_ms == 1234
    assert look(redis, SPEC).state is State.CACHED
    assert redis.ttl(f"audio:{SPEC.hash}") == -1
    assert redis.get("unpersisted") == str(len(make_blob())).encode()
    [(_, charge)] = redis.xrange("billing")
    assert (charge[b"id"].decode(), charge[b"user"], charge[b"cost"]) == (job.id, b"1", b"12")
    assert redis.xlen("persist") == 1
    assert redis.zscore("finished", job.id)
    redis.delete("reserved:1", "reservations")  # which billing releases
    assert at_rest(redis)


def test_existing_audio_is_answered_without_a_job(redis):
    enqueue(redis, SPEC)
    speak_all(redis)

    again = enqueue(redis, SPEC, user=2)

    assert again.state is State.CACHED
    assert blob.header_of(again.detail).duration_ms == 1234
    assert claim(redis) is None


def test_announcing_audio_extends_its_expiry(redis):
    enqueue(redis, SPEC)
    speak_all(redis)
    redis.expire(f"audio:{SPEC.hash}", 5)

    look(redis, SPEC)

    assert redis.ttl(f"audio:{SPEC.hash}") > 200


def test_requests_for_the_same_text_share_one_job_that_the_first_user_pays(redis):
    with subscribe(redis) as pubsub, subscribe(redis, "other") as elsewhere:
        first = [enqueue(redis, SPEC, user=user).state for user in (1, 2, 3)]
        enqueue(redis, SPEC, user=4, connection="other.9")

        assert speak_all(redis) == [SPEC.text]

        assert received(pubsub)
        assert received(pubsub) is None  # one message for each process
        assert received(elsewhere)
    assert first == [State.QUEUED, State.JOINED, State.JOINED]
    assert [charge[b"user"] for _, charge in redis.xrange("billing")] == [b"1"]


def test_a_repeated_request_for_a_pending_block_joins(redis):
    enqueue(redis, SPEC)

    assert enqueue(redis, SPEC).state is State.JOINED
    assert redis.scard(f"subs:{SPEC.hash}") == 1


# --- Fairness --------------------------------------------------------------------------------------------


def test_users_take_turns_however_many_jobs_one_of_them_has(redis):
    for i in range(6):
        enqueue(redis, make_spec(f"a{i} of the many"), user=1)
    for i in range(2):
        enqueue(redis, make_spec(f"b{i} of the few."), user=2)

    order = speak_all(redis)

    assert max(order.index(text) for text in order if text.startswith("b")) <= 4


def test_frequent_requests_of_one_user_do_not_starve_another(redis):
    for i in range(3):
        enqueue(redis, make_spec(f"patient {i}"), user=1)
    turns = []
    for i in range(6):
        enqueue(redis, make_spec(f"eager {i:02}"), user=2)
        job = claim(redis)
        turns.append(text_of(job).split()[0])
        finish(redis, job)

    assert turns.count("patient") >= 2


def test_playing_blocks_are_claimed_before_prefetched_ones(redis):
    enqueue(redis, make_spec("ahead"), priority=Priority.PREFETCH)
    enqueue(redis, make_spec("now"), priority=Priority.PLAYING)

    assert speak_all(redis) == ["now", "ahead"]


def test_a_prefetched_block_moves_up_when_it_is_requested_for_playing(redis):
    first, second = make_spec("first"), make_spec("second")
    enqueue(redis, first)
    enqueue(redis, second)

    enqueue(redis, second, priority=Priority.PLAYING)

    assert speak_all(redis) == ["second", "first"]


def test_warming_waits_for_every_listener(redis):
    enqueue(redis, make_spec("warm"), user=9, priority=Priority.WARM, billable=False)
    enqueue(redis, make_spec("listener"), user=1)

    assert speak_all(redis) == ["listener", "warm"]


def test_a_listener_moves_warming_to_the_front(redis):
    warm = make_spec("warm")
    enqueue(redis, make_spec("also warm"), user=9, priority=Priority.WARM, billable=False)
    enqueue(redis, warm, user=9, priority=Priority.WARM, billable=False)

    enqueue(redis, warm, user=1)

    assert speak_all(redis) == ["warm", "also warm"]


# --- Limits ----------------------------------------------------------------------------------------------


def test_requested_characters_count_against_the_credit(redis):
    assert enqueue(redis, make_spec("x" * 60), limit=100).state is State.QUEUED

    refused = enqueue(redis, make_spec("y" * 60), limit=100)

    assert (refused.state, refused.detail, refused.figure) == (State.REFUSED, b"usage_limit", 40)
    assert not redis.exists(f"subs:{make_spec('y' * 60).hash}")


def test_joining_a_job_needs_the_same_credit_as_starting_it(redis):
    enqueue(redis, SPEC, user=1)

    assert enqueue(redis, SPEC, user=2, limit=5).detail == b"usage_limit"
    assert enqueue(redis, SPEC, user=2, limit=12).state is State.JOINED


@pytest.mark.parametrize("connection", ["web.1", "web.2"])
def test_repeated_requests_of_the_payer_need_no_further_credit_and_no_token(redis, settings, connection):
    settings.BLOCKS_PER_MINUTE = 1
    enqueue(redis, SPEC, limit=SPEC.cost, is_limited=True)

    again = enqueue(redis, SPEC, limit=SPEC.cost, is_limited=True, connection=connection)

    assert again.state is State.JOINED
    assert enqueue(redis, make_spec("Another"), limit=SPEC.cost).detail == b"usage_limit"


def test_repeated_requests_of_a_subscriber_need_no_further_credit(redis):
    enqueue(redis, SPEC, user=1)
    enqueue(redis, SPEC, user=2, limit=SPEC.cost)

    assert enqueue(redis, SPEC, user=2, limit=0).state is State.JOINED
    assert enqueue(redis, SPEC, user=3, limit=0).detail == b"usage_limit"


def test_too_much_unpersisted_audio_refuses_new_jobs_until_it_is_stored(redis, settings):
    redis.set("unpersisted", settings.UNPERSISTED_LIMIT + 1)
    assert enqueue(redis, SPEC).detail == b"busy"
    assert at_rest(redis)

    redis.set("unpersisted", 0)

    assert enqueue(redis, SPEC).state is State.QUEUED


def refused_as_busy():
    return REGISTRY.get_sample_value("yapit_jobs_refused_total", {"reason": "busy"}) or 0


async def test_refusals_are_counted_by_their_reason(async_redis, settings):
    await async_redis.set("unpersisted", settings.UNPERSISTED_LIMIT + 1)
    before = refused_as_busy()
    link = MultiplexedConnection(settings.REDIS_URL)

    await jobs.enqueue(link, 1, [EnqueueRequest(SPEC.job)] * 3, {})
    assert refused_as_busy() == before + 3

    await async_redis.delete("unpersisted")
    await jobs.enqueue(link, 1, [EnqueueRequest(SPEC.job)], {})
    assert refused_as_busy() == before + 3
    await link.close()


def test_new_blocks_per_minute_are_limited_and_the_refusal_names_the_wait(redis, settings):
    settings.BLOCKS_PER_MINUTE = 2
    answers = [enqueue(redis, make_spec(f"block {i}"), is_limited=True) for i in range(3)]
    other = enqueue(redis, make_spec("block 2"), user=2, is_limited=True)

    assert [answer.state for answer in answers] == [State.QUEUED, State.QUEUED, State.REFUSED]
    assert answers[2].detail == b"rate_limited"
    assert 29_000 < answers[2].figure <= 30_000
    assert other.state is State.QUEUED
    assert redis.ttl("limit:blocks:1") > 0


def enqueue_limited(redis, document, text, **options):
    return enqueue(redis, make_spec(text), document=document, is_limited=True, **options)


def test_documents_of_an_account_are_limited_and_the_refusal_names_the_wait(redis, settings):
    settings.DOCUMENTS_PER_USER = 1
    answers = [enqueue_limited(redis, "a", "one"), enqueue_limited(redis, "b", "two", connection="web.2")]

    assert [answer.state for answer in answers] == [State.QUEUED, State.REFUSED]
    assert answers[1].detail == b"too_many_documents"
    assert 50_000 < answers[1].figure <= 60_000
    assert enqueue_limited(redis, "a", "three").state is State.QUEUED
    assert enqueue_limited(redis, "b", "two", user=2).state is State.QUEUED
    assert 0 < redis.ttl("limit:documents:1") <= 60


def test_a_finished_document_frees_its_slot(redis, settings):
    settings.DOCUMENTS_PER_USER = 1
    enqueue_limited(redis, "a", "one")
    request = EnqueueRequest(make_spec("two").job, member="m", document="b", is_limited=True)

    [answer] = Enqueued.read(scripts.run(redis, jobs.enqueue_call(1, [request], {}, ["a"]))).answers

    assert answer.state is State.QUEUED


def test_pending_and_cached_blocks_take_no_token(redis, settings):
    settings.BLOCKS_PER_MINUTE = 1
    for _ in range(3):
        assert enqueue(redis, SPEC, is_limited=True).state in (State.QUEUED, State.JOINED)
    speak_all(redis)

    assert enqueue(redis, SPEC, user=2, is_limited=True).state is State.CACHED
    assert not redis.exists("limit:blocks:2")


def test_the_waiting_jobs_of_one_user_are_limited(redis, settings):
    settings.WAITING_JOBS_LIMIT = 2
    states = [enqueue(redis, make_spec(f"block {i}")).state for i in range(3)]

    assert states == [State.QUEUED, State.QUEUED, State.REFUSED]


def test_a_full_redis_refuses_requests_and_keeps_nothing_of_them(redis):
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            enqueue(redis, SPEC)
    finally:
        redis.config_set("maxmemory", "512mb")

    assert at_rest(redis)


# --- Failures --------------------------------------------------------------------------------------------


def test_a_result_that_is_submitted_twice_counts_once(redis):
    enqueue(redis, SPEC)
    job = claim(redis)

    answers = [jobs.submit_audio(redis, job.id, "w", make_blob(), 1) for _ in range(2)]
    finalize(redis)
    answers.append(jobs.submit_audio(redis, job.id, "w", make_blob(), 1))

    assert answers == ["OK", "DUP", "GONE"]
    assert redis.xlen("billing") == 1
    assert not redis.keys("up:*")


def test_an_upload_without_a_submission_expires(redis):
    enqueue(redis, SPEC)
    job = claim(redis)

    with pipeline_of(redis) as pipeline:  # without the submission
        pipeline.exchange([jobs.upload_command(job.id, "w", make_blob())])

    assert 0 < redis.ttl(f"up:{job.id}:w") <= protocol.UPLOAD_SECONDS


def test_an_evicted_upload_is_reported_as_lost_and_sent_again(redis):
    enqueue(redis, SPEC)
    job = claim(redis)
    evicted = jobs.SUBMIT.call(job.id, "w", "c", "", 1, "tone", 10_000)

    assert scripts.run(redis, evicted) == [b"LOST"]

    finish(redis, job)
    assert redis.exists(f"audio:{SPEC.hash}")


def test_audio_of_a_late_worker_does_not_replace_accepted_audio(redis, settings):
    settings.LEASE_SECONDS = 0
    enqueue(redis, SPEC)
    job = claim(redis, "slow")
    jobs.reap(redis)
    claim(redis, "other")
    other, slow = make_blob(b"OggS of the other"), make_blob(b"OggS of the slow one")

    answers = [jobs.submit_audio(redis, job.id, "other", other, 1)]
    answers.append(jobs.submit_audio(redis, job.id, "slow", slow, 1))
    finalize(redis)

    assert answers == ["OK", "DUP"]
    assert redis.get(f"audio:{SPEC.hash}") == other
    assert not redis.keys("up:*")


def test_a_submission_claims_the_next_job(redis):
    for text in ("first", "second"):
        enqueue(redis, make_spec(text))
    result = jobs.JobResult.stored(make_blob(), duration_ms=1)

    submitted = jobs.submit(redis, claim(redis).id, "w", result, "tone")
    last = jobs.submit(redis, submitted.next.id, "w", result, "tone")

    assert (submitted.status, text_of(submitted.next), submitted.next.attempt) == ("OK", "second", 1)
    assert (last.status, last.next) == ("OK", None)


def test_wake_up_tokens_without_a_job_are_deleted(redis):
    for i in range(5):
        enqueue(redis, make_spec(f"block {i}"))
    speak_all(redis)

    assert redis.llen("wake:tone") == 0


def test_a_redelivered_result_is_a_no_op(redis):
    enqueue(redis, SPEC)
    job = claim(redis)
    jobs.submit_audio(redis, job.id, "w", make_blob(), 1)
    consumer = StreamConsumer(ResultHandler(redis), redis)
    batch = consumer.read(wait=False)

    consumer.handler.handle(batch)
    consumer.handler.handle(batch)

    assert (redis.xlen("billing"), redis.xlen("persist")) == (1, 1)


def test_the_job_of_a_silent_worker_goes_to_another(redis, settings):
    settings.LEASE_SECONDS = 0
    enqueue(redis, SPEC)
    claim(redis, "silent")

    assert jobs.reap(redis) == 1

    settings.LEASE_SECONDS = 10
    second = claim(redis, "other")
    assert second.attempt == 2
    assert not jobs.renew(redis, second.id, "silent")
    assert jobs.renew(redis, second.id, "other")


def test_late_audio_is_accepted_and_ends_the_second_attempt(redis, settings):
    settings.LEASE_SECONDS = 0
    enqueue(redis, SPEC)
    job = claim(redis, "slow")
    jobs.reap(redis)

    finish(redis, job, "slow")

    assert claim(redis, "other") is None
    assert redis.xlen("billing") == 1


def test_a_late_error_does_not_end_the_attempt_of_another_worker(redis, settings):
    settings.LEASE_SECONDS = 0
    enqueue(redis, SPEC)
    job = claim(redis, "slow")
    jobs.reap(redis)
    claim(redis, "other")

    assert submit_error(redis, job.id, "slow", "engine_failed") == "STALE"


def test_a_job_that_kills_every_worker_ends_as_an_error_without_reservation(redis, settings):
    settings.LEASE_SECONDS = 0
    with subscribe(redis) as pubsub:
        enqueue(redis, SPEC)
        for _ in range(settings.MAX_ATTEMPTS):
            claim(redis)
            jobs.reap(redis)

        assert received(pubsub) == (SPEC.hash, b"e", b"worker_lost")
    assert look(redis, SPEC).detail == b"worker_lost"
    [(_, letter)] = redis.xrange("dead:jobs")
    assert b"text" not in letter
    assert at_rest(redis)


def test_an_error_does_not_block_the_next_request(redis):
    enqueue(redis, SPEC)
    submit_error(redis, claim(redis).id, "w", "engine_failed")
    finalize(redis)

    assert look(redis, SPEC).state is State.ERROR
    assert enqueue(redis, SPEC).state is State.QUEUED


def test_a_text_with_nothing_to_say_is_skipped_and_not_charged(redis):
    enqueue(redis, SPEC)
    submit_nothing(redis, claim(redis).id, "w")
    finalize(redis)

    assert enqueue(redis, SPEC, user=2).state is State.SKIPPED
    assert redis.xlen("billing") == 0
    assert at_rest(redis)


def test_a_released_job_is_not_counted_and_first_in_the_queue(redis):
    enqueue(redis, make_spec("first"))
    enqueue(redis, make_spec("second"))
    job = claim(redis)

    jobs.release(redis, job.id, "w")

    again = claim(redis)
    assert (text_of(again), again.attempt) == ("first", 1)


def test_a_result_whose_bytes_are_lost_is_made_again(redis):
    enqueue(redis, SPEC)
    job = claim(redis)
    jobs.submit_audio(redis, job.id, "w", make_blob(), 1)
    redis.delete(f"res:{job.id}")
    finalize(redis)

    finish(redis, claim(redis))

    assert redis.xlen("billing") == 1


def test_audio_lost_before_it_was_stored_is_made_again_and_not_billed(redis):
    enqueue(redis, SPEC)
    speak_all(redis)
    [(_, entry)] = redis.xrange("persist")

    jobs.requeue_lost(redis, entry[b"job"])
    jobs.requeue_lost(redis, entry[b"job"])

    assert speak_all(redis) == [SPEC.text]
    charges = [UsageEvent.from_fields(fields | {b"document": b""}) for _, fields in redis.xrange("billing")]
    assert [charge.billable for charge in charges] == [True, False]


# --- Malformed -------------------------------------------------------------------------------------------


def test_a_malformed_result_does_not_stop_the_consumer(redis):
    redis.xadd("results", {"id": "x"})
    redis.xadd("results", {"id": b"\xff", "outcome": "c", "detail": ""})
    redis.xadd("results", {"id": "unknown", "outcome": "nonsense", "detail": ""})
    enqueue(redis, SPEC)
    finish(redis, claim(redis))

    assert look(redis, SPEC).state is State.CACHED
    assert redis.xlen("results") == 0
    assert redis.xlen("dead:results") == 2


def test_the_result_of_a_malformed_job_is_a_dead_letter_and_its_subscriber_notified(redis):
    enqueue(redis, SPEC)
    job = claim(redis)
    change_spec(redis, f"job:{job.id}", queue=None)
    jobs.submit_audio(redis, job.id, "w", make_blob(), 1)
    enqueue(redis, make_spec("the next"))
    with subscribe(redis) as pubsub:
        finish(redis, claim(redis))

        notified = {received(pubsub)[:2] for _ in range(2)}
    assert (SPEC.hash, b"e") in notified
    assert redis.xlen("billing") == redis.xlen("dead:results") == 1
    assert not redis.keys("*" + SPEC.hash)
    assert not redis.exists(f"job:{job.id}", f"res:{job.id}")


def test_a_result_that_kills_its_consumers_is_a_dead_letter_and_its_job_is_retried(redis):
    enqueue(redis, SPEC)
    job = claim(redis)
    jobs.submit_audio(redis, job.id, "w", make_blob(), 1)
    for _ in range(MAX_DELIVERIES):
        StreamConsumer(ResultHandler(redis), redis).read(wait=False)  # and ends without acknowledging
    finalize(redis)

    assert redis.xlen("dead:results") == 1
    assert claim(redis).attempt == 2


# --- Cancellation ----------------------------------------------------------------------------------------


def test_a_queued_job_without_subscribers_is_dropped_without_reservation(redis):
    enqueue(redis, SPEC)

    assert cancel(redis, SPEC) == "DROPPED"
    assert claim(redis) is None
    assert at_rest(redis)


def test_the_job_of_a_payer_who_cancels_is_paid_by_another_subscriber(redis):
    enqueue(redis, SPEC, user=1)
    enqueue(redis, SPEC, user=2)

    assert cancel(redis, SPEC, user=1) == "HANDED_OVER"

    assert not redis.exists("reserved:1")
    assert redis.hget("reserved:2", "standard") == b"12"
    assert speak_all(redis) == [SPEC.text]
    assert [charge[b"user"] for _, charge in redis.xrange("billing")] == [b"2"]


def test_another_connection_of_the_payer_keeps_the_job(redis):
    enqueue(redis, SPEC, connection="web.1")
    enqueue(redis, SPEC, connection="web.2")

    assert cancel(redis, SPEC, connection="web.1") == "STILL_WANTED"
    assert speak_all(redis) == [SPEC.text]


def test_a_running_job_without_subscribers_is_finished(redis):
    enqueue(redis, SPEC)
    job = claim(redis)

    assert cancel(redis, SPEC) == "RUNNING"
    finish(redis, job)

    assert look(redis, SPEC).state is State.CACHED


@pytest.mark.parametrize("workers", [8])
def test_concurrent_workers_never_claim_the_same_job(redis, workers):
    for i in range(200):
        enqueue(redis, make_spec(f"block {i}"), user=i % 5)
    taken = []

    def take_all(name):
        while job := claim(redis, name):
            taken.append(job.id)

    threads = [threading.Thread(target=take_all, args=(f"w{n}",)) for n in range(workers)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert len(taken) == len(set(taken)) == 200


def test_scripts_are_loaded_again_after_a_flush(redis):
    redis.script_flush()

    assert enqueue(redis, SPEC).state is State.QUEUED
    redis.script_flush()
    assert scripts.run_all(redis, [jobs.look_call([SPEC.hash])]) == [[0, b"w"]]
