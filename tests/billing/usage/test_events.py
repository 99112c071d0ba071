"""Parsing of usage events."""

import subprocess
import sys
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import Unreadable
from billing.usage.events import UsageEvent
from billing.usage_types import UsageType
from tests.billing.usage_events import make_fields

REFUSED = [
    ("id", b""),
    ("id", b"a" * 65),
    ("id", b"a b"),
    ("id", b"a\n"),
    ("user", b"0"),
    ("user", b"-1"),
    ("user", b"9223372036854775808"),
    ("user", "٣".encode()),
    ("chars", b"-5"),
    ("chars", b"1_000"),
    ("chars", b" 5"),
    ("chars", b"05"),
    ("chars", b"2147483648"),
    ("chars", b"9" * 5000),
    ("multiplier_bp", b"1.5"),
    ("cost", b"99"),
    ("usage_type", b"gold"),
    ("usage_type", b"\xff"),
    ("billable", b"2"),
    ("billable", b"yes"),
    ("hash", b"AB" * 32),
    ("hash", b"ab" * 31),
    ("model", b""),
    ("voice", b"a\x00b"),
    ("voice", b"\xc3\x28"),
    ("voice", b"v" * 201),
    ("document", b"not-a-uuid"),
    ("duration_ms", b"-1"),
    ("created_ms", b"253402300800000"),
    ("api_key", b"k" * 256),
    ("api_key", b"a\nb"),
    ("api_key", b"\xff"),
]


def test_an_entry_is_parsed_into_an_event():
    event = UsageEvent.from_fields(
        make_fields(
            7, 101, id="job-1", multiplier_bp=15_000, usage_type="premium", created_ms=1_767_225_600_000
        )
    )

    assert (event.id, event.user_id, event.characters, event.cost) == ("job-1", 7, 101, 152)
    assert event.usage_type is UsageType.PREMIUM
    assert event.document == UUID("6f2ab7c4-3a51-4a2e-9d7e-0a4f4c1f2b11")
    assert event.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_an_event_of_speech_outside_a_document_has_no_document():
    assert UsageEvent.from_fields(make_fields(document="")).document is None


@pytest.mark.parametrize("name", sorted(make_fields()))
def test_a_missing_field_is_unreadable(name):
    fields = make_fields()
    del fields[name]

    with pytest.raises(Unreadable, match=f"^{name.decode()}: missing"):
        UsageEvent.from_fields(fields)


def test_the_api_key_is_optional():
    assert UsageEvent.from_fields(make_fields()).api_key is None
    assert UsageEvent.from_fields(make_fields(api_key="")).api_key is None
    assert UsageEvent.from_fields(make_fields(api_key="81734480c7b9")).api_key == "81734480c7b9"


def test_a_usage_event_may_be_of_ocr_tokens():
    assert UsageEvent.from_fields(make_fields(usage_type="ocr")).usage_type is UsageType.OCR


def test_unknown_fields_are_ignored():
    assert UsageEvent.from_fields(make_fields(later="1")).billable


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_an_invalid_field_is_unreadable_and_the_reason_names_it(name, value):
    with pytest.raises(Unreadable, match=f"^{name}: "):
        UsageEvent.from_fields(make_fields() | {name.encode(): value})


def test_the_reason_does_not_quote_the_value():
    with pytest.raises(Unreadable) as refusal:
        UsageEvent.from_fields(make_fields() | {b"chars": b"meet me at nine"})

    assert "nine" not in str(refusal.value)


@given(st.dictionaries(st.sampled_from(sorted(make_fields())), st.binary(max_size=40)))
def test_random_fields_are_unreadable_or_an_event(changes):
    try:
        event = UsageEvent.from_fields(make_fields() | changes)
    except Unreadable:
        return
    assert event.cost >= 0


def test_parsing_imports_neither_django_nor_redis():
    check = "import sys, billing.usage.events; assert not {'django', 'redis'} & set(sys.modules), 'not pure'"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
