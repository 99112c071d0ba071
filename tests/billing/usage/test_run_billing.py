"""The billing consumer, run inside the test."""

import threading

import pytest
from django.db import OperationalError, connection

from billing.models import LedgerEntry
from billing.usage.consumer import BillingHandler
from config.streams import StopFlag, StreamConsumer
from tests.billing.usage_events import make_account, make_fields, publish, reserved, used

STREAM, GROUP, DEAD = "billing", "billing", "dead:billing"

seen: list[str] = []
failures_left = 0


def record_ids(events) -> None:
    seen.extend(event.id for event in events)


def fail_twice(events) -> None:
    global failures_left
    if failures_left:
        failures_left -= 1
        raise OperationalError("an outage")


@pytest.fixture
def consumer(redis, settings):
    settings.BILLING_BATCH_HOOKS = []
    return StreamConsumer(BillingHandler(), redis)


@pytest.fixture
def ids_seen_by_the_hook(settings, consumer):
    settings.BILLING_BATCH_HOOKS = [f"{__name__}.record_ids"]
    seen.clear()
    return seen


def drain(consumer) -> None:
    """Without the command's loop, which lets go of the connection that the test's transaction is on."""
    while consumer.run_once(wait=False):
        pass


@pytest.mark.django_db
def test_usage_is_charged_and_its_entry_let_go(redis, consumer):
    publish(redis, user_id := make_account(), 10)

    drain(consumer)

    assert used(user_id) == 10
    assert redis.xlen(STREAM) == redis.xpending(STREAM, GROUP)["pending"] == 0


@pytest.mark.django_db
def test_an_entry_that_comes_again_is_charged_once(redis, consumer):
    fields = publish(redis, user_id := make_account(), 10)
    drain(consumer)

    redis.xadd(STREAM, fields)
    drain(consumer)

    assert used(user_id) == 10
    assert redis.xlen(STREAM) == 0


@pytest.mark.django_db
def test_what_is_due_goes_down_by_what_was_charged_to_its_type(redis, consumer):
    user_id = make_account()
    redis.hset(f"reserved:{user_id}", mapping={"standard": 5, "premium": 7})
    publish(redis, user_id, 10)
    publish(redis, user_id, 20, usage_type="premium", multiplier_bp=15_000)

    drain(consumer)

    assert reserved(redis, user_id) == {b"standard": b"5", b"premium": b"7"}


@pytest.mark.django_db
def test_nothing_due_leaves_nothing_behind(redis, consumer):
    publish(redis, user_id := make_account(), 10)

    drain(consumer)

    assert not redis.exists(f"reserved:{user_id}")


@pytest.mark.django_db
def test_what_is_due_is_never_less_than_nothing(redis, consumer):
    """An emptied Redis forgets it, while an entry that is published again survives."""
    user_id = make_account()
    redis.xadd(STREAM, make_fields(user_id, 10))

    drain(consumer)

    assert reserved(redis, user_id) == {}


@pytest.mark.django_db
def test_letting_an_entry_go_twice_takes_it_off_what_is_due_once(redis, consumer):
    user_id = make_account()
    redis.hset(f"reserved:{user_id}", "standard", 100)
    publish(redis, user_id, 10)
    entries = consumer.read(wait=False).entries

    consumer.acknowledge(entries)
    consumer.acknowledge(entries)

    assert reserved(redis, user_id) == {b"standard": b"100"}


@pytest.mark.django_db
def test_what_is_not_billable_goes_to_the_hooks_only(redis, consumer, ids_seen_by_the_hook):
    user_id = make_account()
    redis.hset(f"reserved:{user_id}", "standard", 100)
    publish(redis, user_id, 10, billable=0, id="healed")

    drain(consumer)

    assert ids_seen_by_the_hook == ["healed"]
    assert not LedgerEntry.objects.exists()
    assert reserved(redis, user_id) == {b"standard": b"100"}


@pytest.mark.django_db
def test_a_failing_hook_delays_the_acknowledgement_and_not_the_charge(redis, consumer, settings):
    global failures_left
    failures_left = 1
    settings.BILLING_BATCH_HOOKS = [f"{__name__}.fail_twice"]
    publish(redis, user_id := make_account(), 10)

    with pytest.raises(OperationalError):
        consumer.run_once(wait=False)

    assert used(user_id) == 10
    assert redis.xpending(STREAM, GROUP)["pending"] == 1
    assert reserved(redis, user_id) == {b"standard": b"10"}


@pytest.mark.django_db(transaction=True)
def test_a_hook_that_recovers_lets_the_batch_go_charged_once(redis, consumer, settings):
    global failures_left
    failures_left = 2
    settings.BILLING_BATCH_HOOKS = [f"{__name__}.fail_twice"]
    publish(redis, user_id := make_account(), 10)

    consumer.run(StopFlag(), drain=True)

    assert used(user_id) == 10
    assert redis.xlen(STREAM) == 0


@pytest.mark.django_db
def test_entries_that_cannot_be_charged_are_buried_with_their_reason_and_delay_nobody(redis, consumer):
    good, full = make_account(), make_account(standard_used=2**63 - 1)
    for user_id in (good, full, good):
        publish(redis, user_id, 10)
    redis.xadd(STREAM, {"id": "half an entry"})
    redis.xadd(STREAM, make_fields(good) | {b"chars": b"-5"})
    publish(redis, good, 10)

    drain(consumer)

    assert used(good) == 30
    assert [fields[b"reason"] for _, fields in redis.xrange(DEAD)] == [
        b"id: not of the expected form",
        b"chars: not a whole number from 0 up",
        b"DataError 22003",
    ]
    assert redis.xlen(STREAM) == 0


@pytest.mark.django_db
def test_an_emptied_redis_is_recovered_from(redis, consumer):
    user_id = make_account()
    drain(consumer)
    redis.flushall()
    publish(redis, user_id, 10)

    drain(consumer)

    assert used(user_id) == 10


@pytest.mark.django_db
def test_a_batch_leaves_one_line_with_counts_and_no_names(redis, consumer, caplog):
    first, second = make_account(), make_account()
    for user_id in (first, first, second):
        publish(redis, user_id, 10)

    with caplog.at_level("INFO"):
        drain(consumer)

    [line] = [record for record in caplog.records if record.message == "billing_processed"]
    assert (line.events_count, line.charged_count, line.users_count, line.text_length) == (3, 3, 2, 30)


@pytest.mark.django_db(transaction=True)
def test_two_at_once_charge_everything_once(redis, settings):
    settings.BILLING_BATCH_HOOKS = []
    accounts = [make_account() for _ in range(5)]
    for i in range(200):
        publish(redis, accounts[i % 5], 10)

    threads = [threading.Thread(target=drain_in_small_batches, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [used(account) for account in accounts] == [400] * 5
    assert LedgerEntry.objects.count() == 200
    assert redis.xlen(STREAM) == 0
    assert not redis.keys("reserved:*")


def drain_in_small_batches(number: int) -> None:
    consumer = StreamConsumer(BillingHandler(), number=number)
    consumer.handler.batch_size = 7
    try:
        consumer.run(StopFlag(), drain=True)
    finally:
        connection.close()
        consumer.redis.close()
        consumer.blocking.close()
