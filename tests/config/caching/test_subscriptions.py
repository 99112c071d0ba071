"""Who hears of which event: by name or by its beginning, several, and each whatever befalls the others."""

import pytest

from config.caching.subscriptions import EVENTS, Subscriptions


@pytest.fixture
def subscriptions():
    return Subscriptions()


def test_an_event_reaches_those_who_asked_for_it_by_name_or_by_its_beginning(subscriptions):
    exact, prefixed, other = [], [], []
    subscriptions.add("credit:5", exact.append)
    subscriptions.add("credit:*", prefixed.append)
    subscriptions.add("credit", other.append)

    subscriptions.notify(["credit:5", "credit:55", "credit:"])

    assert (exact, prefixed, other) == (["credit:5"], ["credit:5", "credit:55", "credit:"], [])


def test_one_that_fails_does_not_stop_the_others_and_is_logged_by_its_type(subscriptions, caplog):
    heard = []
    subscriptions.add("a", heard.append)
    subscriptions.add("a", lambda event: {}[f"secret {event}"])
    subscriptions.add("a", heard.append)

    subscriptions.notify(["a", "a"])

    assert heard == ["a"] * 4
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_one_that_fails_does_not_keep_the_others_from_what_they_missed(subscriptions):
    missed = []
    for callback in (lambda: missed.append(1), lambda: 1 / 0, None, lambda: missed.append(2)):
        subscriptions.add("a", print, callback)

    subscriptions.notify_missed()

    assert missed == [1, 2]


def test_what_nobody_knows_is_ignored_and_counted(subscriptions):
    before = EVENTS.labels("unknown")._value.get()

    subscriptions.notify(["whatever", "else"])

    assert EVENTS.labels("unknown")._value.get() == before + 2


def test_who_has_left_hears_nothing_and_nothing_of_it_remains(subscriptions):
    heard = []
    leave = [subscriptions.add(pattern, heard.append) for pattern in ("a", "a", "a*") for _ in range(2)]
    for each in leave[1:]:
        each()
        each()

    subscriptions.notify(["a"])

    assert (heard, len(subscriptions)) == (["a"], 1)
    leave[0]()
    assert (subscriptions._by_event, subscriptions._by_prefix) == ({}, {})


def test_one_may_leave_while_it_is_told(subscriptions):
    heard = []

    def once(event):
        heard.append(event)
        leave()

    leave = subscriptions.add("a", once)
    subscriptions.add("a", heard.append)
    subscriptions.notify(["a", "a"])

    assert heard == ["a", "a", "a"]


@pytest.mark.parametrize("pattern", ["", "*", "a*b", "*a", "a**"])
def test_a_pattern_is_a_name_or_a_beginning(subscriptions, pattern):
    with pytest.raises(ValueError, match="pattern"):
        subscriptions.add(pattern, print)
