"""The waterfall, compared with a slow model that moves characters one by one."""

from hypothesis import given
from hypothesis import strategies as st

from billing.waterfall import Parts, Pools, carry, draw, give, plan_left, roll_over

few = st.integers(0, 40)
limits = st.none() | few
pools = st.builds(
    lambda rollover, purchased: Pools(rollover, purchased if rollover >= 0 else 0), st.integers(-40, 40), few
)


def one_by_one(cost: int, left: int | None, pools: Pools) -> tuple[Parts, Pools]:
    drawn = dict.fromkeys(("subscription", "rollover", "purchased", "debt"), 0)
    rollover, purchased = pools.rollover, pools.purchased
    for _ in range(cost):
        if left is None or left > 0:
            drawn["subscription"] += 1
            left = None if left is None else left - 1
        elif rollover > 0:
            drawn["rollover"] += 1
            rollover -= 1
        elif purchased > 0:
            drawn["purchased"] += 1
            purchased -= 1
        else:
            drawn["debt"] += 1
            rollover -= 1
    return Parts(*drawn.values()), Pools(rollover, purchased)


@given(few, limits, pools)
def test_characters_are_drawn_as_if_one_by_one(cost, left, pools):
    assert draw(cost, left, pools) == one_by_one(cost, left, pools)


@given(few, limits, pools)
def test_drawn_parts_add_up_to_the_cost_and_leave_no_debt_beside_purchases(cost, left, pools):
    parts, after = draw(cost, left, pools)

    assert parts.total == cost
    assert after.purchased >= 0
    assert after.rollover >= 0 or after.purchased == 0


@given(few, few, limits, pools)
def test_two_uses_cost_what_both_together_cost(first, second, left, pools):
    one, between = draw(first, left, pools)
    _, after = draw(second, None if left is None else left - one.from_subscription, between)

    assert after == draw(first + second, left, pools)[1]


@given(few, pools)
def test_an_unlimited_period_leaves_the_balances_alone(cost, pools):
    assert draw(cost, plan_left(None, 10**9), pools) == (Parts(from_subscription=cost), pools)


@given(few, pools)
def test_a_gift_pays_debt_before_it_is_kept(characters, pools):
    parts, after = give(characters, pools)

    assert parts.total == -characters
    assert after.rollover + after.purchased == pools.rollover + pools.purchased + characters
    assert after.rollover >= 0 or after.purchased == 0
    assert after.rollover == max(pools.rollover, min(0, pools.rollover + characters))


@given(few, pools)
def test_given_characters_can_be_taken_back_completely(characters, pools):
    _, after = draw(characters, 0, give(characters, pools)[1])

    assert after.rollover + after.purchased == pools.rollover + pools.purchased


@given(limits, few, pools, few)
def test_a_period_carries_its_rest_up_to_the_cap(limit, used, pools, cap):
    carried = carry(limit, used, pools.rollover, cap)
    parts, after = roll_over(carried, pools)

    assert 0 <= carried <= max(0, (limit or 0) - used)
    assert after.rollover == pools.rollover + carried
    assert after.rollover <= max(cap, pools.rollover)
    assert parts.total == -carried


def test_neither_a_limit_of_zero_nor_an_unlimited_period_carries_characters():
    assert carry(0, 0, 0, 100) == carry(None, 0, -50, 100) == 0
