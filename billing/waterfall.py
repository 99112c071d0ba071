"""Where characters are taken from, and where given ones go. Pure arithmetic in whole characters.

`rollover` is what earlier periods left over; below 0 it is debt. `purchased` is never below 0, and there is
none while there is debt.
"""

from typing import NamedTuple

from billing.usage_types import UsageType

# How far a rollover may grow by what periods leave over. Standard characters are not kept: what is left of
# them only pays debt.
ROLLOVER_CAP = {UsageType.STANDARD: 0, UsageType.PREMIUM: 1_000_000}


class Pools(NamedTuple):
    """What an account has beside the limit of its period."""

    rollover: int = 0
    purchased: int = 0


class Parts(NamedTuple):
    """What one entry took from where; negative parts were given. `to_debt` lowers the rollover, too."""

    from_subscription: int = 0
    from_rollover: int = 0
    from_purchased: int = 0
    to_debt: int = 0

    @property
    def total(self) -> int:
        return self.from_subscription + self.from_rollover + self.from_purchased + self.to_debt


def plan_left(limit: int | None, used: int) -> int | None:
    """What the period still allows; None: any number."""
    return None if limit is None else max(0, limit - used)


def draw(cost: int, left: int | None, pools: Pools) -> tuple[Parts, Pools]:
    """Subscription, then rollover if there is any, then what was purchased; the rest is debt.

    A use has already happened, so it is never refused. Unlimited takes from nothing else.
    """
    if left is None or cost <= left:
        return Parts(cost), pools
    from_subscription = left
    rest = cost - from_subscription
    from_rollover = min(rest, max(0, pools.rollover))
    from_purchased = min(rest - from_rollover, pools.purchased)
    to_debt = rest - from_rollover - from_purchased
    parts = Parts(from_subscription, from_rollover, from_purchased, to_debt)
    return parts, after(pools, parts)


def give(characters: int, pools: Pools) -> tuple[Parts, Pools]:
    """Debt is paid first; the rest counts as purchased."""
    repaid = min(characters, max(0, -pools.rollover))
    parts = Parts(to_debt=-repaid, from_purchased=repaid - characters)
    return parts, after(pools, parts)


def carry(limit: int | None, used: int, before: int, cap: int) -> int:
    """What an ended period adds to a rollover that was `before`: what it left, up to the cap.

    Unlimited leaves nothing.
    """
    if limit is None:
        return 0
    return max(0, min(limit - used, cap - before))


def roll_over(carried: int, pools: Pools) -> tuple[Parts, Pools]:
    """Into the rollover; as far as that is debt, the debt is paid."""
    repaid = min(carried, max(0, -pools.rollover))
    parts = Parts(to_debt=-repaid, from_rollover=repaid - carried)
    return parts, after(pools, parts)


def after(pools: Pools, parts: Parts) -> Pools:
    return Pools(
        rollover=pools.rollover - parts.from_rollover - parts.to_debt,
        purchased=pools.purchased - parts.from_purchased,
    )
