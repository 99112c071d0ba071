"""Random histories of usage, gifts, corrections, limits and months, compared with a simple model."""

from datetime import datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from billing.models import UsagePeriod
from billing.periods import month_of
from billing.plans import balances, renewal
from billing.usage.checks import Report, check_sums
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from billing.waterfall import ROLLOVER_CAP
from tests.billing.usage_events import balance_of, make_account, make_event

pytestmark = pytest.mark.django_db

KINDS = (UsageType.STANDARD, UsageType.PREMIUM)
AMOUNTS = st.integers(1, 400)
LIMITS = st.none() | st.integers(0, 300)
BY = {"reason": "a rule", "operator": "hypothesis"}


class Month:
    """Model of a usage period."""

    def __init__(self, limit: int | None) -> None:
        self.limit, self.used, self.total, self.closed = limit, 0, 0, False
        self.before = self.carried = 0

    def would_carry(self, cap: int) -> int:
        if self.limit is None:
            return 0
        return max(0, min(self.limit - self.used, cap - self.before))


class Purse:
    """Model of one usage type of one account; moves characters one by one."""

    def __init__(self, limit: int | None, cap: int) -> None:
        self.limit, self.cap = limit, cap
        self.rollover = self.purchased = 0
        self.months: dict[datetime, Month] = {}

    def take_one(self) -> None:
        if self.rollover > 0 or self.purchased == 0:
            self.rollover -= 1
        else:
            self.purchased -= 1

    def use(self, month: Month, characters: int) -> None:
        month.total += characters
        for _ in range(characters):
            if month.limit is None or month.used < month.limit:
                month.used += 1
            else:
                self.take_one()
        while month.carried > month.would_carry(self.cap):
            month.carried -= 1
            self.take_one()

    def give(self, characters: int) -> None:
        for _ in range(characters):
            if self.rollover < 0:
                self.rollover += 1
            else:
                self.purchased += 1

    def close(self, month: Month) -> None:
        month.closed, month.before = True, self.rollover
        month.carried = month.would_carry(self.cap)
        self.rollover += month.carried


class History(RuleBasedStateMachine):
    """Applies each step to the account and to the model."""

    @initialize(standard=LIMITS, premium=LIMITS)
    def open_account(self, standard, premium):
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.now = self.first = CLOCK[0] = month_of(CLOCK[0]).start + timedelta(days=10)
        self.user_id = make_account(standard_limit=standard, premium_limit=premium)
        limits = dict(zip(KINDS, (standard, premium), strict=True))
        self.purses = {kind: Purse(limits[kind], min(CAPS[kind], 500)) for kind in KINDS}
        self.renew()

    def month(self, kind, at) -> Month:
        purse, start = self.purses[kind], month_of(at).start
        if start not in purse.months:
            purse.months[start] = Month(purse.limit)
            purse.months[start].closed = month_of(at).end <= self.now
        return purse.months[start]

    def renew(self) -> None:
        renewal.close_ended(self.now)
        for kind, purse in self.purses.items():
            for start in sorted(purse.months):
                if month_of(start).end <= self.now and not purse.months[start].closed:
                    purse.close(purse.months[start])
            if (purse.limit or 0) > 0 and (CAPS[kind] or purse.rollover < 0 or self.is_opened(kind)):
                self.month(kind, self.now)

    def is_opened(self, kind) -> bool:
        """Periods of both types are opened together, so the other type may have opened this one."""
        return UsagePeriod.objects.filter(
            user_id=self.user_id, usage_type=kind, start__lte=self.now, end__gt=self.now
        ).exists()

    @rule(kind=st.sampled_from(KINDS), characters=AMOUNTS, days=st.integers(0, 70))
    def use(self, kind, characters, days):
        at = max(self.first, self.now - timedelta(days=days))
        self.purses[kind].use(self.month(kind, at), characters)
        record_usage([make_event(self.user_id, characters, usage_type=kind.value, at=at)])

    @rule(characters=st.lists(AMOUNTS, min_size=2, max_size=5), kind=st.sampled_from(KINDS))
    def use_several_at_once(self, characters, kind):
        for count in characters:
            self.purses[kind].use(self.month(kind, self.now), count)
        record_usage(
            [make_event(self.user_id, count, usage_type=kind.value, at=self.now) for count in characters]
        )

    @rule(kind=st.sampled_from(KINDS), characters=AMOUNTS)
    def grant(self, kind, characters):
        self.purses[kind].give(characters)
        balances.grant(self.user_id, kind, characters, **BY)

    @rule(kind=st.sampled_from(KINDS), characters=AMOUNTS)
    def give_back(self, kind, characters):
        self.purses[kind].give(characters)
        balances.correct(self.user_id, kind, characters, **BY)

    @rule(kind=st.sampled_from(KINDS), characters=AMOUNTS)
    def take_back(self, kind, characters):
        for _ in range(characters):
            self.purses[kind].take_one()
        balances.correct(self.user_id, kind, -characters, **BY)

    @rule(standard=LIMITS, premium=LIMITS)
    def change_limits(self, standard, premium):
        for kind, limit in zip(KINDS, (standard, premium), strict=True):
            self.purses[kind].limit = limit
            for start, month in self.purses[kind].months.items():
                if not month.closed and month_of(start).end > self.now:
                    month.limit = limit
        balances.set_limits(self.user_id, standard=standard, premium=premium)

    @rule()
    def next_month(self):
        self.now = month_of(self.now).end + timedelta(days=10)
        CLOCK[0] = self.now
        self.renew()

    @invariant()
    def balances_and_periods_equal_the_model(self):
        for kind, purse in self.purses.items():
            assert balance_of(self.user_id, kind).pools == (purse.rollover, purse.purchased)
            assert self.stored(kind) == {
                start: (month.used, month.total, month.carried) for start, month in purse.months.items()
            }

    def stored(self, kind):
        rows = UsagePeriod.objects.filter(user_id=self.user_id, usage_type=kind)
        return {row.start: (row.used, row.total, row.carried) for row in rows}

    @invariant()
    def every_counter_is_the_sum_of_the_ledger(self):
        report = Report()
        check_sums(report, [self.user_id], None)
        assert report.findings == []

    def teardown(self):
        if hasattr(self, "atomic"):
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)


CAPS = dict(ROLLOVER_CAP)
CLOCK: list[datetime] = [timezone.now()]


@pytest.mark.parametrize("examples", [4, pytest.param(60, marks=pytest.mark.slow)], ids=["few", "many"])
def test_random_histories_agree_with_the_model(monkeypatch, examples):
    monkeypatch.setitem(ROLLOVER_CAP, UsageType.PREMIUM, 500)
    monkeypatch.setattr(timezone, "now", lambda: CLOCK[0])

    options = settings(
        max_examples=examples,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # shrinking a failure takes minutes here
        database=None,
    )
    run_state_machine_as_test(History, settings=options)
