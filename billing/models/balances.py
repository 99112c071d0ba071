"""Balances: the limit, rollover and purchased units of one account and usage type."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from billing.models.fields import is_usage_type, limit_field, not_negative
from billing.usage_types import USAGE_TYPE_CHOICES
from billing.waterfall import Pools


class Balance(models.Model):
    """One row per account and usage type; written only under the lock of the account's subscription row.

    The account is not a foreign key: inserting a row would lock the account after its subscription, and
    account deletion takes both.
    """

    user_id = models.BigIntegerField()
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPE_CHOICES)
    limit = limit_field()
    rollover = models.BigIntegerField(default=0, help_text="Below 0: debt.")
    purchased = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(name="balance_once", fields=["user_id", "usage_type"]),
            is_usage_type("balance"),
            *not_negative("balance", "limit", "purchased"),
            models.CheckConstraint(
                name="balance_debt_is_paid_first", condition=Q(rollover__gte=0) | Q(purchased=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.usage_type} balance of account {self.user_id}"

    @property
    def pools(self) -> Pools:
        return Pools(self.rollover, self.purchased)

    @pools.setter
    def pools(self, pools: Pools) -> None:
        """In memory only; the caller holds the lock of the subscription and saves."""
        self.rollover, self.purchased = pools
