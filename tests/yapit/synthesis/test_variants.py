"""Rows of variants, recorded from the events that billing has charged."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.module_loading import import_string

from billing.usage.events import UsageEvent
from yapit.models import BlockVariant
from yapit.synthesis.variants import record

pytestmark = pytest.mark.django_db

EVENT = UsageEvent.from_fields(
    {
        b"id": b"job1",
        b"user": b"7",
        b"chars": b"12",
        b"multiplier_bp": b"10000",
        b"cost": b"12",
        b"usage_type": b"standard",
        b"billable": b"1",
        b"hash": b"a" * 64,
        b"model": b"hibari",
        b"voice": b"aria",
        b"document": b"",
        b"duration_ms": b"900",
        b"created_ms": b"1700000000000",
    }
)


def test_a_variant_is_recorded_with_the_values_of_its_event():
    record([EVENT])

    assert BlockVariant.objects.values().get() == {
        "hash": "a" * 64,
        "model": "hibari",
        "voice": "aria",
        "characters": 12,
        "duration_ms": 900,
        "created": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
    }


def test_a_batch_is_recorded_in_one_statement_and_may_be_repeated():
    events = [replace(EVENT, hash=f"{number % 150:064x}") for number in range(200)]
    record(events[:3])

    with CaptureQueriesContext(connection) as queries:
        record(events)

    assert BlockVariant.objects.count() == 150
    assert len([query for query in queries if "INSERT" in query["sql"]]) == 1


def test_an_existing_row_is_not_changed():
    record([EVENT])

    record([replace(EVENT, duration_ms=5)])

    assert BlockVariant.objects.get().duration_ms == 900


def test_an_empty_batch_records_nothing():
    record([])

    assert not BlockVariant.objects.exists()


def test_billing_has_it_as_its_batch_hook(settings):
    assert record in [import_string(hook) for hook in settings.BILLING_BATCH_HOOKS]
