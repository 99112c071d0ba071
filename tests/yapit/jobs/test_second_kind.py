"""A second kind of job, added by a folder and a setting, from its request to the store and the ledger."""

import pytest
from django.core.management import CommandError, call_command

from audiocache.persister import PersistHandler
from audiocache.sqlite import SqliteStore
from billing.models import LedgerEntry
from billing.usage.consumer import BillingHandler
from config.redis import scripts
from config.streams import StreamConsumer
from tests.audiocache.files import copy_files
from tests.billing.usage_events import reserved
from tests.yapit.factories import make_user
from tests.yapit.jobs import sum_kind
from tests.yapit.jobs.job_steps import at_rest, finalize
from tests.yapit.jobs.sum_kind import BOUND, KIND, QUEUE, SumHandler, sum_spec
from yapit import jobs
from yapit.jobs import BlockState, EnqueueRequest, State
from yapit.jobs.worker import Worker
from yapit.models import BlockVariant

USER = 1


@pytest.fixture
def worker(redis):
    return Worker(QUEUE, KIND, SumHandler(QUEUE), "w", redis, redis)


@pytest.fixture
def stores(tmp_path):
    stores = {}
    for alias in ("audio", "extractions"):
        stores[alias] = SqliteStore(copy_files(tmp_path / alias) / f"{alias}.sqlite3", 10**6)
        stores[alias].open_writer()
    yield stores
    for store in stores.values():
        store.close()


def request(redis, spec, user=USER, **options):
    member = jobs.member(user, "", 0, "web.1")
    call = jobs.enqueue_call(user, [EnqueueRequest(spec, member=member, **options)], {}, api_key="k1")
    return jobs.Enqueued.read(scripts.run(redis, call)).answers[0].state


def state_of(redis, spec):
    return BlockState.read(scripts.run(redis, jobs.look_call([spec.key]))[1])


def work_off(redis, worker):
    while worker.run_once():
        pass
    finalize(redis)


@pytest.mark.django_db(transaction=True)
def test_a_job_of_the_second_kind_is_done_stored_and_charged(redis, worker, stores):
    user = make_user("ann").pk
    spec = sum_spec(2, 3)

    assert request(redis, spec, user) is State.QUEUED
    assert reserved(redis, user) == {b"premium": b"%d" % BOUND}
    work_off(redis, worker)

    assert state_of(redis, spec).state is State.CACHED
    assert reserved(redis, user) == {b"premium": b"5"}
    StreamConsumer(PersistHandler(stores, redis), redis).run_once(wait=False)
    assert stores["extractions"].get(spec.key).audio == b"5"
    assert stores["audio"].get(spec.key) is None
    [(_, event)] = redis.xrange("billing")
    assert (event[b"kind"], event[b"api_key"]) == (b"sum", b"k1")
    StreamConsumer(BillingHandler(), redis).run_once(wait=False)
    entry = LedgerEntry.objects.get()
    assert (entry.user_id, entry.usage_type, entry.cost, entry.characters) == (user, "premium", 5, 5)
    assert not BlockVariant.objects.exists()
    assert at_rest(redis)


@pytest.mark.parametrize(
    ("numbers", "state", "detail"),
    [((), State.SKIPPED, b""), ((-1,), State.ERROR, b"negative"), ((-2,), State.ERROR, b"not_now"),
     ((BOUND, 1), State.ERROR, b"cost_exceeded")],
)  # fmt: skip
def test_every_other_end_reserves_and_charges_nothing(redis, worker, numbers, state, detail):
    spec = sum_spec(*numbers)
    request(redis, spec)

    work_off(redis, worker)

    assert (state_of(redis, spec).state, state_of(redis, spec).detail) == (state, detail)
    assert redis.xlen("billing") == redis.xlen("persist") == 0
    assert at_rest(redis)


def test_lost_bytes_of_the_second_kind_are_made_again_unbilled(redis, worker, stores):
    spec = sum_spec(2, 3)
    request(redis, spec)
    work_off(redis, worker)
    redis.delete(f"audio:{spec.key}")

    StreamConsumer(PersistHandler(stores, redis), redis).run_once(wait=False)
    work_off(redis, worker)

    assert state_of(redis, spec).state is State.CACHED
    assert [event[b"billable"] for _, event in redis.xrange("billing")] == [b"1", b"0"]


def test_queues_of_two_kinds_are_served_apart(redis, worker):
    request(redis, sum_spec(1))

    assert jobs.claim(redis, "tone", "w") is None
    assert worker.run_once()


def test_run_worker_finds_the_handler_by_its_kind(settings, redis):
    settings.JOB_HANDLERS = settings.JOB_HANDLERS | sum_kind.JOB_HANDLERS

    with pytest.raises(CommandError, match="no queue 'other' of sums"):
        call_command("run_worker", "--kind=sum", "--queue=other")
    with pytest.raises(CommandError, match=r"no kind of job 'product'\. Available: speech, sum"):
        call_command("run_worker", "--kind=product")
