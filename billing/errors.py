"""Exceptions of billing."""

from collections.abc import Collection


class BillingError(Exception):
    """Base class of billing's exceptions."""


class Unreadable(BillingError):
    """A stream entry that is not a usage event; not retried. The message names the field, not its value."""


class MissingSubscription(BillingError):
    """Accounts without a subscription row: they are new, or have been deleted."""

    def __init__(self, user_ids: Collection[int]) -> None:
        numbers = ", ".join(str(user_id) for user_id in sorted(user_ids))
        super().__init__(f"No subscription for account {numbers}.")
        self.user_ids = user_ids
