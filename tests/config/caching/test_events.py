"""Messages of the bus: many events in one, and strict parsing."""

import json

import pytest
from django.test import override_settings

from config.caching import apublish, events, publish


def test_a_message_carries_many_events():
    named = [f"credit:{number}" for number in range(2500)]

    payloads = list(events.messages(named))

    assert len(payloads) == 3
    assert [event for payload in payloads for event in events.read(payload)] == named


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"{}",
        b'"a"',
        b"[1]",
        b"[null]",
        b'["a", 1]',
        b'[""]',
        b'["A"]',
        b'["a b"]',
        b'["a\\n"]',
        b'["a*"]',
        b'["\\u00e4"]',
        b'["a"',
        b'["\xff"]',
        b"\xff\xfe",
        b"[" * 100_000,
        b"[" + b"9" * 10_000 + b"]",
        json.dumps(["a" * 201]).encode(),
        json.dumps(["a"] * 1001).encode(),
        bytes(range(100, 200)),
    ],
)
def test_other_payloads_are_malformed(payload):
    with pytest.raises(events.Malformed):
        events.read(payload)


@pytest.mark.parametrize("event", ["", "A", "a b", "a*", "a\n", "ä", "a" * 201, "1"])
def test_an_invalid_event_is_not_published(event):
    with pytest.raises(ValueError, match="event"):
        publish("fine", event)


@override_settings(REDIS_URL="redis://127.0.0.1:1/0")
async def test_without_redis_publishing_returns_false(caplog):
    assert publish("a:secret") is False
    assert await apublish("a:secret") is False

    assert "ConnectionError" in caplog.text
    assert "secret" not in caplog.text
