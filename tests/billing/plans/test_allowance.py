"""Allowances of accounts."""

import pytest
from django.utils import timezone

from billing.models import Plan, Subscription
from billing.periods import month_of
from billing.plans.allowance import Allowance, allowance
from tests.billing.usage_events import make_account

pytestmark = pytest.mark.django_db

END_OF_MONTH = month_of(timezone.now()).end


def test_unlimited_and_nothing_left_are_different_values():
    user_id = make_account(standard_limit=None, premium_limit=0)

    assert allowance(user_id, "standard").characters is None
    assert allowance(user_id, "premium").characters == 0


def test_the_allowance_is_the_limit_minus_usage():
    user_id = make_account(standard_limit=100, standard_used=30)

    assert allowance(user_id, "standard") == Allowance(70, 100, 30, END_OF_MONTH)


def test_usage_above_the_limit_leaves_an_allowance_of_zero():
    user_id = make_account(premium_limit=100, premium_used=130)

    assert allowance(user_id, "premium") == Allowance(0, 100, 130, END_OF_MONTH)


@pytest.mark.parametrize("default", [None, 0, 500])
def test_an_account_without_a_subscription_has_the_limit_of_a_new_one(settings, default):
    settings.DEFAULT_CHARACTER_LIMIT = default

    assert allowance(make_account(), "standard") == Allowance(default, default, 0, END_OF_MONTH)


def test_rollover_and_purchased_characters_are_part_of_the_allowance():
    user_id = make_account(premium_limit=100, premium_used=130, premium_rollover=20, premium_purchased=5)

    assert allowance(user_id, "premium").characters == 25


def test_debt_lowers_the_allowance():
    user_id = make_account(premium_limit=100, premium_used=30, premium_rollover=-50)

    assert allowance(user_id, "premium").characters == 20


@pytest.mark.parametrize(("plan", "left"), [("voice", (None, 0)), ("free", (0, 0)), ("mispelled", (0, 0))])
def test_an_account_without_a_subscription_has_the_default_plan(settings, plan, left):
    Plan.objects.get_or_create(slug="voice", defaults={"standard_limit": None, "premium_limit": 0})
    Plan.objects.get_or_create(slug="free", defaults={"standard_limit": 0, "premium_limit": 0})
    settings.DEFAULT_PLAN = plan
    user_id = make_account()

    assert tuple(allowance(user_id, kind).characters for kind in ("standard", "premium")) == left


def test_the_allowance_is_read_by_one_select_without_locks_or_writes(django_assert_num_queries):
    user_id = make_account()

    with django_assert_num_queries(1) as statements:
        allowance(user_id, "standard")

    assert "FOR UPDATE" not in statements[0]["sql"]
    assert not Subscription.objects.exists()
