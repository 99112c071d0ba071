"""The drill: killing processes loses nothing and charges nothing twice."""

import pytest

from tests.faults.drill import NAIVE_ROLES

pytestmark = pytest.mark.faults


def test_repeated_kills_lose_nothing_and_charge_nothing_twice(drill):
    with drill() as running:
        running.run()

        assert running.end().violations == [], str(running.report)


def test_the_naive_order_satisfies_the_invariants_without_kills(drill):
    """So only the kills can make it fail."""
    with drill(NAIVE_ROLES, seconds=4, pause=1000, valkey_pause=(1000, 1000)) as control:
        control.watch(4)

        assert control.end().violations == [], str(control.report)


def test_the_naive_order_violates_the_invariants_under_kills(drill):
    """The control: shows that the drill can fail."""
    with drill(NAIVE_ROLES, seconds=15, pause=0.3, rate=60) as control:
        control.run()

        assert control.end(patience=10).violations != [], str(control.report)
