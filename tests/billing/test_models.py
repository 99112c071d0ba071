"""Constraints of billing's tables."""

import pytest
from django.db import IntegrityError, transaction

from billing.models import LedgerEntry, Subscription
from billing.usage.recording import record_usage
from tests.billing.usage_events import make_account, make_event

pytestmark = pytest.mark.django_db


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


def test_an_event_has_one_entry(entry):
    entry.pk = None
    with pytest.raises(IntegrityError, match="ledger_event_once"):
        entry.save(force_insert=True)


@pytest.mark.parametrize("cost", [9, 11])
def test_a_cost_other_than_that_of_the_formula_is_refused(entry, cost):
    entry.pk, entry.event_id, entry.cost = None, "another", cost
    with pytest.raises(IntegrityError, match="ledger_cost_rounded_up_once"):
        entry.save(force_insert=True)


@pytest.mark.parametrize(
    "name", ["standard_limit", "premium_limit", "standard_purchased", "premium_purchased"]
)
def test_limits_and_purchased_characters_are_not_negative(name):
    with pytest.raises(IntegrityError, match=f"subscription_{name}_not_negative"), transaction.atomic():
        make_account(**{name: -1})


def test_purchased_characters_and_debt_exclude_each_other():
    with pytest.raises(IntegrityError, match="premium_debt_is_paid_first"), transaction.atomic():
        make_account(premium_rollover=-1, premium_purchased=1)


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


def test_the_ledger_outlives_the_account(entry):
    Subscription.objects.get().user.delete()

    assert LedgerEntry.objects.get() == entry
    assert not Subscription.objects.exists()
