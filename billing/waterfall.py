"""Waterfall: the order in which characters are drawn from limit and balances. Pure integer arithmetic.

`rollover` is the balance left over from earlier periods; below 0 it is debt. `purchased` is never below 0,
and is 0 while there is debt.
"""

from typing import NamedTuple

from billing.usage_types import UsageType

# The highest rollover that the end of a period may produce. Standard characters are not kept: those left over
# only pay debt.
ROLLOVER_CAP = {UsageType.STANDARD: 0, UsageType.PREMIUM: 1_000_000, UsageType.OCR: 10_000_000}


class Pools(NamedTuple):
    """Balances of an account beside the limit of its period."""

    rollover: int = 0
    purchased: int = 0


class Parts(NamedTuple):
    """Parts of one ledger entry; negative parts were given. `to_debt` lowers the rollover as well."""

    from_subscription: int = 0
    from_rollover: int = 0
    from_purchased: int = 0
    to_debt: int = 0

    @property
    def total(self) -> int:
        return self.from_subscription + self.from_rollover + self.from_purchased + self.to_debt


def plan_left(limit: int | None, used: int) -> int | None:
    """Characters left of the period's limit; None: unlimited."""
    return None if limit is None else max(0, limit - used)


def draw(cost: int, left: int | None, pools: Pools) -> tuple[Parts, Pools]:
    """Draw from the limit, then from a positive rollover, then from purchased characters; the rest is debt.

    Usage has already happened, so it is never refused. An unlimited period leaves the balances alone.
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
    """Add given characters: debt is paid first, the rest is purchased."""
    repaid = min(characters, max(0, -pools.rollover))
    parts = Parts(to_debt=-repaid, from_purchased=repaid - characters)
    return parts, after(pools, parts)


def carry(limit: int | None, used: int, before: int, cap: int) -> int:
    """Characters that an ended period adds to a rollover of `before`, up to the cap.

    An unlimited period adds none.
    """
    if limit is None:
        return 0
    return max(0, min(limit - used, cap - before))


def roll_over(carried: int, pools: Pools) -> tuple[Parts, Pools]:
    """Add carried characters to the rollover; debt is paid first."""
    repaid = min(carried, max(0, -pools.rollover))
    parts = Parts(to_debt=-repaid, from_rollover=repaid - carried)
    return parts, after(pools, parts)


def after(pools: Pools, parts: Parts) -> Pools:
    """The balances once these parts are taken."""
    return Pools(
        rollover=pools.rollover - parts.from_rollover - parts.to_debt,
        purchased=pools.purchased - parts.from_purchased,
    )
