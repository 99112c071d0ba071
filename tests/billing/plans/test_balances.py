"""Gifts, corrections, plan changes, and the renewal of periods."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.errors import MissingSubscription
from billing.models import LedgerEntry, Plan, Subscription, UsagePeriod
from billing.periods import month_of
from billing.plans import balances
from billing.plans.allowance import allowance
from billing.plans.renewal import close_ended
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from config import caching
from tests.billing.usage_events import balance_of, make_account, make_event

pytestmark = pytest.mark.django_db

PREMIUM = UsageType.PREMIUM
THIS_MONTH = month_of(timezone.now())
LAST_MONTH = month_of(THIS_MONTH.start - timedelta(days=1))
BY = {"reason": "a mistake of ours", "operator": "ada"}


def pools(user_id: int) -> tuple[int, int]:
    return tuple(balance_of(user_id, PREMIUM).pools)


def left(user_id: int) -> int | None:
    return allowance(user_id, PREMIUM).characters


def use(user_id: int, chars: int, **changes) -> None:
    record_usage([make_event(user_id, chars, usage_type="premium", **changes)])


def make_past_period(user_id: int, **values) -> UsagePeriod:
    month = {"start": LAST_MONTH.start, "end": LAST_MONTH.end}
    return UsagePeriod.objects.create(user_id=user_id, usage_type=PREMIUM, **month, **values)


def test_a_gift_can_be_spent_and_is_recorded_with_reason_and_operator():
    user_id = make_account(premium_limit=0)

    balances.grant(user_id, PREMIUM, 500, **BY)

    assert left(user_id) == 500
    entry = LedgerEntry.objects.get()
    assert (entry.kind, entry.cost, entry.from_purchased) == ("grant", -500, -500)
    assert (entry.reason, entry.operator) == ("a mistake of ours", "ada")


def test_a_correction_gives_or_takes_characters():
    user_id = make_account(premium_limit=0, premium_purchased=100)

    balances.correct(user_id, PREMIUM, 50, **BY)
    balances.correct(user_id, PREMIUM, -200, **BY)

    assert pools(user_id) == (-50, 0)
    assert list(LedgerEntry.objects.order_by("pk").values_list("cost", flat=True)) == [-50, 200]


@pytest.mark.parametrize("characters", [0, -1])
def test_a_gift_of_no_characters_is_refused(characters):
    with pytest.raises(ValueError, match="at least one"):
        balances.grant(make_account(premium_limit=0), PREMIUM, characters, **BY)


def test_the_same_operation_changes_a_balance_once():
    user_id, other = make_account(premium_limit=0), make_account(premium_limit=0)

    for account in (user_id, user_id, other):
        balances.grant(account, PREMIUM, 500, **BY, operation_id="form-1")
    balances.correct(user_id, PREMIUM, -20, **BY, operation_id="form-2")
    balances.correct(user_id, PREMIUM, -20, **BY, operation_id="form-2")

    assert (left(user_id), left(other)) == (480, 500)
    assert sorted(LedgerEntry.objects.values_list("operation_id", flat=True)) == [
        "form-1",
        "form-1",
        "form-2",
    ]


def test_limits_that_are_not_named_stay():
    user_id = make_account(premium_limit=7, standard_limit=8, ocr_limit=9)

    balances.set_limits(user_id, ocr=None)

    assert [balance_of(user_id, kind).limit for kind in ("premium", "standard", "ocr")] == [7, 8, None]
    with pytest.raises(ValueError, match="gold"):
        balances.set_limits(user_id, gold=1)


def test_changing_an_account_without_a_subscription_raises():
    with pytest.raises(MissingSubscription):
        balances.grant(987_654_321, PREMIUM, 1, **BY)


def test_the_ledger_records_the_parts_that_usage_was_drawn_from():
    user_id = make_account(premium_limit=100, premium_rollover=20, premium_purchased=30)

    use(user_id, 180)

    entry = LedgerEntry.objects.get()
    parts = entry.from_subscription, entry.from_rollover, entry.from_purchased, entry.to_debt
    assert parts == (100, 20, 30, 30)
    assert pools(user_id) == (-30, 0)


def test_a_plan_applies_from_the_current_period_on():
    user_id = make_account(premium_limit=0, premium_used=0)
    plan = Plan.objects.create(slug="large", name="Large", standard_limit=None, premium_limit=1000)

    balances.assign(user_id, plan)
    use(user_id, 400)

    assert left(user_id) == 600
    assert pools(user_id) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_every_change_raises_the_epoch_of_the_account(redis):
    user_id = make_account(premium_limit=0)
    plan = Plan.objects.create(slug="large", name="Large", standard_limit=None, premium_limit=None)
    epochs = [caching.epoch("credit", user_id)]
    for change in (
        lambda: balances.grant(user_id, PREMIUM, 5, **BY),
        lambda: balances.correct(user_id, PREMIUM, -5, **BY),
        lambda: balances.assign(user_id, plan),
        lambda: balances.set_limits(user_id, standard=1, premium=2),
        lambda: balances.close(user_id),
    ):
        change()
        epochs.append(caching.epoch("credit", user_id))

    assert epochs == sorted(set(epochs))


@pytest.mark.django_db(transaction=True)
def test_a_change_does_not_need_redis(settings):
    user_id = make_account(premium_limit=0)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    balances.set_limits(user_id, standard=1, premium=2)

    assert left(user_id) == 2


def test_the_rest_of_a_period_is_carried_over_once():
    user_id = make_account(premium_limit=100)
    make_past_period(user_id, limit=100, used=30, total=30)

    closed = [close_ended() for _ in range(3)]

    assert closed == [1, 0, 0]
    assert pools(user_id) == (70, 0)
    assert left(user_id) == 170


def test_a_period_without_usage_is_opened_and_carried_over():
    user_id = make_account(premium_limit=100)
    close_ended(LAST_MONTH.start)

    close_ended()

    assert pools(user_id) == (100, 0)


def test_rollover_stops_at_its_cap_and_pays_debt_first():
    capped, indebted = (
        make_account(premium_limit=10**6),
        make_account(premium_limit=100, premium_rollover=-60),
    )
    make_past_period(capped, limit=5 * 10**6)
    make_past_period(indebted, limit=100, used=10, total=10)

    close_ended()

    assert (pools(capped), pools(indebted)) == ((10**6, 0), (30, 0))
    assert list(LedgerEntry.objects.filter(user_id=indebted).values_list("to_debt", "from_rollover")) == [
        (-60, -30)
    ]


def test_late_usage_is_charged_to_its_period_and_lowers_the_rollover():
    user_id = make_account(premium_limit=100)
    past = make_past_period(user_id, limit=100, used=30, total=30)
    close_ended()

    use(user_id, 50, at=LAST_MONTH.end - timedelta(milliseconds=1))

    past.refresh_from_db()
    assert (past.used, past.carried) == (80, 20)
    assert pools(user_id) == (20, 0)
    assert allowance(user_id, PREMIUM).used == 0


def test_carried_characters_that_are_spent_already_become_debt():
    user_id = make_account(premium_limit=100)
    make_past_period(user_id, limit=100)
    close_ended()
    use(user_id, 180)

    use(user_id, 50, at=LAST_MONTH.start)

    assert pools(user_id) == (-30, 0)


@pytest.mark.parametrize(
    ("at", "month"),
    [
        (THIS_MONTH.start, THIS_MONTH),
        (THIS_MONTH.start - timedelta(milliseconds=1), LAST_MONTH),
        (LAST_MONTH.start, LAST_MONTH),
    ],
)
def test_the_first_moment_of_a_month_belongs_to_it(at, month):
    user_id = make_account(premium_limit=100)

    use(user_id, 10, at=at)

    assert UsagePeriod.objects.get(user_id=user_id, used=10).start == month.start


def test_a_month_without_a_period_carries_nothing_over():
    user_id = make_account(premium_limit=100)
    use(user_id, 10, at=LAST_MONTH.start)

    close_ended()

    assert pools(user_id) == (0, 0)


def test_a_deleted_account_keeps_its_ledger_under_its_number():
    user_id = make_account(premium_limit=100)
    use(user_id, 10)

    Subscription.objects.get(user_id=user_id).user.delete()
    use(user_id, 20)

    assert list(LedgerEntry.objects.filter(user_id=user_id).values_list("cost", flat=True)) == [20, 10]
    assert UsagePeriod.objects.get(user_id=user_id).total == 30
