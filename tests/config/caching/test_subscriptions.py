"""Event subscriptions: by name or prefix, several for one event, and independent of failures of others."""

import pytest

from config.caching.subscriptions import EVENTS, Subscriptions
from tests.metrics import value_of


@pytest.fixture
def subscriptions():
    return Subscriptions()


def test_an_event_reaches_subscriptions_by_name_and_by_prefix(subscriptions):
    exact, prefixed, other = [], [], []
    subscriptions.add("credit:5", exact.append)
    subscriptions.add("credit:*", prefixed.append)
    subscriptions.add("credit", other.append)

    subscriptions.notify(["credit:5", "credit:55", "credit:"])

    assert (exact, prefixed, other) == (["credit:5"], ["credit:5", "credit:55", "credit:"], [])


def test_a_failing_callback_is_logged_by_type_and_does_not_stop_others(subscriptions, caplog):
    received = []
    subscriptions.add("a", received.append)
    subscriptions.add("a", lambda event: {}[f"secret {event}"])
    subscriptions.add("a", received.append)

    subscriptions.notify(["a", "a"])

    assert received == ["a"] * 4
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_a_failing_missed_callback_does_not_stop_others(subscriptions):
    missed = []
    for callback in (lambda: missed.append(1), lambda: 1 / 0, None, lambda: missed.append(2)):
        subscriptions.add("a", print, callback)

    subscriptions.notify_missed()

    assert missed == [1, 2]


def test_events_without_subscription_are_ignored_and_counted(subscriptions):
    before = value_of(EVENTS, "unknown")

    subscriptions.notify(["unknown", "other"])

    assert value_of(EVENTS, "unknown") == before + 2


def test_after_unsubscribing_no_events_are_received_and_no_entry_remains(subscriptions):
    received = []
    unsubscribe = [
        subscriptions.add(pattern, received.append) for pattern in ("a", "a", "a*") for _ in range(2)
    ]
    for each in unsubscribe[1:]:
        each()
        each()

    subscriptions.notify(["a"])

    assert (received, len(subscriptions)) == (["a"], 1)
    unsubscribe[0]()
    assert subscriptions.patterns == set()


def test_a_callback_may_unsubscribe(subscriptions):
    received = []

    def once(event):
        received.append(event)
        unsubscribe()

    unsubscribe = subscriptions.add("a", once)
    subscriptions.add("a", received.append)
    subscriptions.notify(["a", "a"])

    assert received == ["a", "a", "a"]


@pytest.mark.parametrize("pattern", ["", "*", "a*b", "*a", "a**"])
def test_a_pattern_is_a_name_or_a_prefix(subscriptions, pattern):
    with pytest.raises(ValueError, match="pattern"):
        subscriptions.add(pattern, print)
