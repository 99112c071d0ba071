"""Constraints of billing's tables."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from billing.models import Balance, LedgerEntry, Subscription, UsageDay, UsagePeriod, VoiceMonth
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from tests.billing.usage_events import make_account, make_event

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def entry():
    record_usage([make_event(make_account(), 10)])
    return LedgerEntry.objects.get()


def test_a_ledger_entry_cannot_be_updated(entry):
    with pytest.raises(IntegrityError, match="append-only"):
        LedgerEntry.objects.filter(pk=entry.pk).update(cost=0, characters=0)


def test_a_ledger_entry_cannot_be_deleted(entry):
    with pytest.raises(IntegrityError, match="append-only"):
        entry.delete()


def test_the_ledger_cannot_be_truncated(entry):
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        connection.cursor().execute("TRUNCATE billing_ledgerentry")
    assert LedgerEntry.objects.get() == entry


def test_an_event_has_one_entry(entry):
    entry.pk = None
    with pytest.raises(IntegrityError, match="ledger_event_once"):
        entry.save(force_insert=True)


@pytest.mark.parametrize("cost", [9, 11])
def test_a_cost_other_than_that_of_the_formula_is_refused(entry, cost):
    entry.pk, entry.event_id, entry.cost = None, "another", cost
    with pytest.raises(IntegrityError, match="ledger_cost_rounded_up_once"):
        entry.save(force_insert=True)


@pytest.mark.parametrize("usage_type", [kind.value for kind in UsageType])
@pytest.mark.parametrize("name", ["limit", "purchased"])
def test_limits_and_purchased_characters_are_not_negative(usage_type, name):
    with pytest.raises(IntegrityError, match=f"balance_{name}_not_negative"), transaction.atomic():
        make_account(**{f"{usage_type}_{name}": -1})


def test_purchased_characters_and_debt_exclude_each_other():
    with pytest.raises(IntegrityError, match="balance_debt_is_paid_first"), transaction.atomic():
        make_account(premium_rollover=-1, premium_purchased=1)


def test_an_account_has_one_balance_of_each_type():
    user_id = make_account(premium_limit=5)

    with pytest.raises(IntegrityError, match="balance_once"), transaction.atomic():
        Balance.objects.create(user_id=user_id, usage_type="premium")
    with pytest.raises(IntegrityError, match="balance_usage_type_is_known"), transaction.atomic():
        Balance.objects.create(user_id=user_id, usage_type="gold")


def test_a_counter_is_not_negative():
    with pytest.raises(IntegrityError, match=r"period_(used|total)_not_negative"), transaction.atomic():
        make_account(standard_used=-1)


def test_the_parts_of_an_entry_add_up(entry):
    entry.pk, entry.event_id, entry.from_purchased = None, "another", 1
    with pytest.raises(IntegrityError, match="ledger_parts_add_up"):
        entry.save(force_insert=True)


@pytest.mark.parametrize("missing", ["reason", "operator"])
def test_a_gift_has_a_reason_and_an_operator(entry, missing):
    entry.pk, entry.event_id, entry.kind = None, "another", "grant"
    entry.reason = entry.operator = "said"
    setattr(entry, missing, "")
    with pytest.raises(IntegrityError, match="changes_have_reason_and_operator"):
        entry.save(force_insert=True)


def test_the_kind_of_an_entry_is_known(entry):
    entry.pk, entry.event_id, entry.kind = None, "another", "tip"
    with pytest.raises(IntegrityError, match="ledger_kind_is_known"):
        entry.save(force_insert=True)


@pytest.mark.parametrize("kind", ["purchase", "refund", "dispute"])
def test_a_payment_has_an_operation_id_of_up_to_255_characters(entry, kind):
    entry.pk, entry.event_id, entry.kind, entry.operation_id = None, "e" * 255, kind, "o" * 255
    entry.save(force_insert=True)

    entry.pk, entry.event_id, entry.operation_id = None, "another", None
    with pytest.raises(IntegrityError, match="ledger_payments_have_an_operation_id"):
        entry.save(force_insert=True)


def test_an_operation_changes_a_balance_once(entry):
    def book(event_id, **values):
        row = LedgerEntry.objects.get(pk=entry.pk)
        row.pk, row.event_id, row.kind, row.operation_id = None, event_id, "purchase", "cs_1"
        for name, value in values.items():
            setattr(row, name, value)
        row.save(force_insert=True)

    book("first")
    book("of-another-type", usage_type="ocr")
    book("of-another-account", user_id=entry.user_id + 1)
    with pytest.raises(IntegrityError, match="ledger_operation_once"):
        book("again")


JANUARY, FEBRUARY, MARCH = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))


def make_period(user_id=1, usage_type="premium", start=JANUARY, end=FEBRUARY, **values):
    return UsagePeriod.objects.create(user_id=user_id, usage_type=usage_type, start=start, end=end, **values)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (JANUARY + DAY, FEBRUARY - DAY),
        (JANUARY - DAY, JANUARY + DAY),
        (FEBRUARY - DAY, MARCH),
        (JANUARY - DAY, MARCH),
    ],
    ids=["inside", "at the start", "at the end", "around"],
)
def test_periods_of_one_account_and_type_do_not_overlap(start, end):
    make_period()
    with pytest.raises(IntegrityError, match="period_no_overlap"):
        make_period(start=start, end=end, source="stripe")


@pytest.mark.parametrize(
    "other",
    [{"user_id": 2}, {"usage_type": "ocr"}, {"usage_type": "standard"}, {"start": FEBRUARY, "end": MARCH}],
)
def test_periods_that_touch_or_are_of_another_account_or_type_are_accepted(other):
    make_period()
    make_period(**other)


def test_the_source_of_a_period_is_known_and_a_calendar_month_by_default():
    assert UsagePeriod.objects.get(pk=make_period().pk).source == "calendar"
    with pytest.raises(IntegrityError, match="period_source_is_known"):
        make_period(source="moon", start=FEBRUARY, end=MARCH)


def test_no_row_written_under_the_lock_of_a_subscription_refers_to_the_account():
    """A foreign key would lock the account after its subscription, in the order opposite to a deletion."""
    for model in (Balance, LedgerEntry, UsagePeriod, UsageDay, VoiceMonth):
        with connection.cursor() as cursor:
            constraints = connection.introspection.get_constraints(cursor, model._meta.db_table)
        assert not [name for name, found in constraints.items() if found["foreign_key"]], model


def test_the_ledger_outlives_the_account(entry):
    Subscription.objects.get().user.delete()

    assert LedgerEntry.objects.get() == entry
    assert not Subscription.objects.exists()
