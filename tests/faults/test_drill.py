"""Killing any process, or all of them, loses nothing and charges nothing twice."""

import pytest

from tests.faults.drill import NAIVE_ROLES

pytestmark = pytest.mark.faults


def test_killed_again_and_again_nothing_is_lost_or_charged_twice(drill):
    with drill() as ours:
        ours.run()

        assert ours.end().violations == [], str(ours.report)


def test_the_naive_order_without_kills_does_the_same_work(drill):
    """So that it is the kills that it fails by."""
    with drill(NAIVE_ROLES, seconds=4, pause=1000, valkey_pause=(1000, 1000)) as control:
        control.watch(4)

        assert control.end().violations == [], str(control.report)


def test_the_naive_order_loses_things(drill):
    """Shows that the drill can fail: without it, its passing would prove nothing."""
    with drill(NAIVE_ROLES, seconds=15, pause=0.3, rate=60) as control:
        control.run()

        assert control.end(patience=10).violations != [], str(control.report)
