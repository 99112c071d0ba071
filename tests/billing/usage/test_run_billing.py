"""The billing consumer, run inside the test."""

import threading

import pytest
from django.db import OperationalError, connection

from billing.models import LedgerEntry
from billing.usage.consumer import BillingHandler
from config.streams import StopFlag, StreamConsumer
from tests.billing.usage_events import make_account, make_fields, publish, reserved, used

STREAM, GROUP, DEAD = "billing", "billing", "dead:billing"

ids_seen: list[str] = []
failures_left = 0


def record_ids(events) -> None:
    ids_seen.extend(event.id for event in events)


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
    ids_seen.clear()
    return ids_seen


def drain(consumer) -> None:
    """Instead of `run`, which would close the connection of the test's transaction."""
    while consumer.run_once(wait=False):
        pass


@pytest.mark.django_db
def test_usage_is_charged_and_its_entry_acknowledged(redis, consumer):
    publish(redis, user_id := make_account(), 10)

    drain(consumer)

    assert used(user_id) == 10
    assert redis.xlen(STREAM) == redis.xpending(STREAM, GROUP)["pending"] == 0


@pytest.mark.django_db
def test_a_repeated_event_is_charged_once(redis, consumer):
    fields = publish(redis, user_id := make_account(), 10)
    drain(consumer)

    redis.xadd(STREAM, fields)
    drain(consumer)

    assert used(user_id) == 10
    assert redis.xlen(STREAM) == 0


@pytest.mark.django_db
def test_a_charge_releases_the_reservation_of_its_usage_type(redis, consumer):
    user_id = make_account()
    redis.hset(f"reserved:{user_id}", mapping={"standard": 5, "premium": 7})
    publish(redis, user_id, 10)
    publish(redis, user_id, 20, usage_type="premium", multiplier_bp=15_000)

    drain(consumer)

    assert reserved(redis, user_id) == {b"standard": b"5", b"premium": b"7"}


@pytest.mark.django_db
def test_a_key_without_reservations_is_deleted(redis, consumer):
    publish(redis, user_id := make_account(), 10)

    drain(consumer)

    assert not redis.exists(f"reserved:{user_id}")


@pytest.mark.django_db
def test_a_reservation_does_not_fall_below_zero(redis, consumer):
    """After Redis was emptied, an event may be published again without its reservation."""
    user_id = make_account()
    redis.xadd(STREAM, make_fields(user_id, 10))

    drain(consumer)

    assert reserved(redis, user_id) == {}


@pytest.mark.django_db
def test_acknowledging_twice_releases_the_reservation_once(redis, consumer):
    user_id = make_account()
    redis.hset(f"reserved:{user_id}", "standard", 100)
    publish(redis, user_id, 10)
    entries = consumer.read(wait=False).entries

    consumer.acknowledge(entries)
    consumer.acknowledge(entries)

    assert reserved(redis, user_id) == {b"standard": b"100"}


@pytest.mark.django_db
def test_an_event_that_is_not_billable_reaches_only_the_hooks(redis, consumer, ids_seen_by_the_hook):
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
def test_a_batch_is_charged_once_and_acknowledged_after_its_hook_recovers(redis, consumer, settings):
    global failures_left
    failures_left = 2
    settings.BILLING_BATCH_HOOKS = [f"{__name__}.fail_twice"]
    publish(redis, user_id := make_account(), 10)

    consumer.run(StopFlag(), drain=True)

    assert used(user_id) == 10
    assert redis.xlen(STREAM) == 0


@pytest.mark.django_db
def test_entries_that_cannot_be_charged_become_dead_letters_and_the_rest_is_charged(redis, consumer):
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
def test_billing_continues_after_redis_was_emptied(redis, consumer):
    user_id = make_account()
    drain(consumer)
    redis.flushall()
    publish(redis, user_id, 10)

    drain(consumer)

    assert used(user_id) == 10


@pytest.mark.django_db
def test_a_batch_writes_one_log_line_with_counts_and_no_names(redis, consumer, caplog):
    first, second = make_account(), make_account()
    for user_id in (first, first, second):
        publish(redis, user_id, 10)

    with caplog.at_level("INFO"):
        drain(consumer)

    [line] = [record for record in caplog.records if record.message == "billing_processed"]
    assert (line.events_count, line.charged_count, line.users_count, line.text_length) == (3, 3, 2, 30)


@pytest.mark.django_db(transaction=True)
def test_two_consumers_charge_each_event_once(redis, settings):
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
