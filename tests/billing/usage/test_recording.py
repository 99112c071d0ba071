"""Charging of usage events."""

import threading
from datetime import timedelta
from unittest import mock

import pytest
from django.db import DataError, OperationalError, connection, transaction

from billing.models import Balance, LedgerEntry, Subscription, UsagePeriod
from billing.plans.allowance import allowance
from billing.subscriptions import ensure_subscriptions
from billing.usage import charging, ledger, locks
from billing.usage.recording import charge_batch, record_usage
from tests.billing.usage.writers import without_the_lock
from tests.billing.usage_events import balance_of, make_account, make_event, used
from tests.waiting import wait_until

LARGEST = 2**63 - 1
MANY_TIMES = 3


@pytest.mark.django_db
def test_an_event_is_charged_once_however_often_it_comes():
    event = make_event(make_account(), 10)

    charged = [record_usage([event, event]) for _ in range(MANY_TIMES)]

    assert charged == [1, 0, 0]
    assert used(event.user_id) == 10


@pytest.mark.django_db
def test_each_usage_type_has_its_own_counter():
    user_id = make_account()

    record_usage(
        [make_event(user_id, 10), make_event(user_id, 7, usage_type="premium", multiplier_bp=20_000)]
    )

    assert (used(user_id, "standard"), used(user_id, "premium")) == (10, 14)


@pytest.mark.django_db
def test_the_ledger_entry_has_the_values_of_the_event():
    event = make_event(make_account(), 101, multiplier_bp=15_000)

    record_usage([event])

    entry = LedgerEntry.objects.get()
    assert (entry.event_id, entry.user_id, entry.characters, entry.cost) == (
        event.id,
        event.user_id,
        101,
        152,
    )
    assert (entry.document, entry.hash, entry.occurred_at) == (event.document, event.hash, event.occurred_at)


@pytest.mark.django_db
def test_an_event_that_is_not_billable_is_not_recorded():
    assert record_usage([make_event(make_account(), billable=0)]) == 0
    assert not LedgerEntry.objects.exists()


@pytest.mark.django_db
def test_usage_of_an_unknown_account_is_recorded():
    assert record_usage([make_event(987_654_321, 10), make_event(LARGEST, 10)]) == 2
    assert set(LedgerEntry.objects.values_list("user_id", flat=True)) == {987_654_321, LARGEST}


@pytest.mark.django_db
def test_an_entry_names_the_api_key_that_caused_it():
    user_id = make_account()

    record_usage(
        [make_event(user_id, id="by-key", api_key="81734480c7b9"), make_event(user_id, id="without")]
    )

    assert dict(LedgerEntry.objects.values_list("event_id", "api_key")) == {
        "by-key": "81734480c7b9",
        "without": None,
    }


@pytest.mark.django_db
def test_usage_of_an_account_that_lacks_a_balance_creates_it():
    user_id = make_account(premium_limit=7)
    Balance.objects.filter(user_id=user_id, usage_type="standard").delete()

    record_usage([make_event(user_id, 10)])

    assert balance_of(user_id, "standard").limit is None
    assert balance_of(user_id, "premium").limit == 7


@pytest.mark.django_db
def test_ocr_tokens_have_a_balance_of_their_own():
    user_id = make_account(standard_limit=0, ocr_limit=100, ocr_purchased=30)

    record_usage([make_event(user_id, 120, usage_type="ocr")])

    assert allowance(user_id, "ocr").characters == 10
    assert balance_of(user_id, "ocr").purchased == 10
    assert used(user_id) == 0


@pytest.mark.django_db
def test_an_event_in_a_month_that_another_window_overlaps_is_refused():
    user_id = make_account()
    event = make_event(user_id)
    start = event.occurred_at + timedelta(seconds=1)
    UsagePeriod.objects.create(
        user_id=user_id, usage_type="standard", source="stripe", start=start, end=start + timedelta(seconds=1)
    )

    outcome = charge_batch([event])

    assert list(outcome.refused) == [event.id]


@pytest.mark.django_db
def test_a_new_row_starts_with_the_default_limit(settings):
    settings.DEFAULT_CHARACTER_LIMIT = 500

    record_usage([make_event(user_id := make_account(), 10)])

    assert balance_of(user_id, "standard").limit == 500


@pytest.mark.django_db
def test_missing_subscriptions_are_created_and_existing_ones_kept():
    existing, missing = make_account(standard_used=5), make_account()

    for _ in range(MANY_TIMES):
        ensure_subscriptions()

    assert (used(existing), used(missing)) == (5, 0)


@pytest.mark.django_db
def test_a_refused_batch_charges_no_account():
    good, full = make_account(), make_account(standard_used=LARGEST)

    with pytest.raises(DataError), transaction.atomic():
        record_usage([make_event(good, 10), make_event(full, 10)])

    assert not LedgerEntry.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("accounts", [1, 20])
def test_the_number_of_statements_does_not_grow_with_the_batch(django_assert_max_num_queries, accounts):
    user_ids = [make_account(standard_used=1) for _ in range(accounts)]
    events = [make_event(user_id) for user_id in user_ids for _ in range(10)]

    with django_assert_max_num_queries(13):
        record_usage(events)


@pytest.mark.django_db(transaction=True)
def test_charges_at_the_same_moment_both_count():
    user_id = make_account(standard_used=0)

    charge_twice_at_once(user_id, 30)

    assert used(user_id) == 60


@pytest.mark.django_db(transaction=True)
def test_without_the_row_lock_a_charge_is_lost():
    """Shows that the test above can fail: without it, its passing would prove nothing."""
    user_id = make_account(standard_used=0)

    with without_the_lock():
        charge_twice_at_once(user_id, 30)

    assert used(user_id) == 30


@pytest.mark.django_db(transaction=True)
def test_one_event_in_two_processes_at_once_is_charged_once():
    event = make_event(make_account(standard_used=0), 30)

    charged = run_twice_at_once([[event], [event]])

    assert sorted(charged) == [0, 1]
    assert used(event.user_id) == 30


@pytest.mark.django_db(transaction=True)
def test_two_processes_record_an_event_of_an_unknown_account_once():
    """Without a row there is no lock: the unique id decides, and the second attempt finds the entry."""
    event = make_event(987_654_321, 30)

    assert sorted(run_twice_at_once([[event], [event]])) == [0, 1]


@pytest.mark.django_db(transaction=True)
def test_waiting_for_a_locked_row_ends_with_the_timeout(monkeypatch):
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", "50ms")
    user_id = make_account(standard_used=0)

    with transaction.atomic():
        Subscription.objects.select_for_update().get(user_id=user_id)
        failures = in_thread(lambda: record_usage([make_event(user_id)]))

    assert [type(failure) for failure in failures] == [OperationalError]


def charge_twice_at_once(user_id: int, chars: int) -> None:
    run_twice_at_once([[make_event(user_id, chars)], [make_event(user_id, chars)]])


def run_twice_at_once(batches) -> list[int]:
    """Run both in threads. Both read before either writes, unless one waits for a lock."""
    look_up, readers, charged = ledger.recorded, set(), []

    def look_up_and_wait(event_ids):
        recorded = look_up(event_ids)
        readers.add(threading.get_ident())
        wait_until(lambda: len(readers) == 2 or is_a_lock_awaited())
        return recorded

    with mock.patch.object(charging.ledger, "recorded", look_up_and_wait):
        threads = [threading.Thread(target=_charge, args=(batch, charged)) for batch in batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return charged


def is_a_lock_awaited() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return cursor.fetchone()[0]


def _charge(batch, charged) -> None:
    try:
        charged.append(record_usage(batch))
    finally:
        connection.close()


def in_thread(work) -> list[BaseException]:
    failures = []

    def run() -> None:
        try:
            work()
        except OperationalError as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return failures
