"""Usage types, which have a limit and balances each, and the bound of slugs in billing's columns. Pure."""

from enum import StrEnum

LONGEST_SLUG = 200


class UsageType(StrEnum):
    STANDARD = "standard"
    PREMIUM = "premium"
