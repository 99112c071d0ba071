"""Usage types and the length limit of slugs in billing's columns. Pure."""

from enum import StrEnum

LONGEST_SLUG = 200


class UsageType(StrEnum):
    """Kinds of characters; each has a limit and balances of its own."""

    STANDARD = "standard"
    PREMIUM = "premium"


USAGE_TYPE_CHOICES = [(usage_type.value, usage_type.value) for usage_type in UsageType]
