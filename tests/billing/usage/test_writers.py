"""Concurrent writers on one account: no lost updates and no deadlocks."""

import pytest

from tests.billing.usage.writers import random_change, with_the_lock_last, without_the_lock, write_at_once
from tests.billing.usage_events import make_account

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("operations", [10, pytest.param(200, marks=pytest.mark.slow)], ids=["few", "many"])
def test_four_writers_on_one_account_lose_no_update_and_never_deadlock(redis, operations):
    outcome = write_at_once(make_account(premium_limit=20_000), operations, random_change)

    assert (outcome.drift, outcome.deadlocks, outcome.refused) == (0, 0, 0)


@pytest.mark.slow
def test_without_the_lock_updates_are_lost(redis):
    with without_the_lock():
        outcome = write_at_once(make_account(premium_limit=20_000), 50, random_change)

    assert outcome.drift > 0


@pytest.mark.slow
def test_with_the_lock_last_writers_deadlock(redis):
    outcome = write_at_once(make_account(premium_limit=0), 5, with_the_lock_last)

    assert outcome.deadlocks > 0
