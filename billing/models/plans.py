"""Plans and subscriptions."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models.fields import limit_field, not_negative
from billing.usage_types import UsageType
from billing.waterfall import Pools


def default_limit() -> int | None:
    """The column default of limits; migrations refer to it as `billing.models.default_limit`."""
    limit: int | None = settings.DEFAULT_CHARACTER_LIMIT
    return limit


class Plan(models.Model):
    """A plan on offer. Its limits are copied to an account when assigned; later edits do not reach it."""

    slug = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=64)
    rank = models.PositiveSmallIntegerField(default=0, help_text="Plans of higher rank offer more.")
    standard_limit = limit_field()
    premium_limit = limit_field()
    ocr_limit = models.BigIntegerField(
        null=True, blank=True, help_text="Tokens per period. Empty: unlimited; 0: none."
    )
    monthly_cents = models.PositiveIntegerField(default=0)
    yearly_cents = models.PositiveIntegerField(default=0)
    trial_days = models.PositiveSmallIntegerField(default=0)
    is_active = models.BooleanField(default=True, help_text="Offered to accounts that do not have it.")

    class Meta:
        ordering = ["rank", "slug"]
        constraints: ClassVar = not_negative("plan", "standard_limit", "premium_limit", "ocr_limit")

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """Plan, limits and balances of one account. Its row lock guards every change of the account's billing."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="subscription"
    )
    plan = models.ForeignKey(
        Plan,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        help_text="Empty: no plan, only the limits below.",
    )
    standard_limit = limit_field(default=default_limit)
    premium_limit = limit_field(default=default_limit)
    standard_rollover = models.BigIntegerField(default=0, help_text="Below 0: debt.")
    premium_rollover = models.BigIntegerField(default=0, help_text="Below 0: debt.")
    standard_purchased = models.BigIntegerField(default=0)
    premium_purchased = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            *not_negative(
                "subscription", "standard_limit", "premium_limit", "standard_purchased", "premium_purchased"
            ),
            *(
                models.CheckConstraint(
                    name=f"subscription_{kind}_debt_is_paid_first",
                    condition=Q(**{f"{kind}_rollover__gte": 0}) | Q(**{f"{kind}_purchased": 0}),
                )
                for kind in UsageType
            ),
        ]

    def __str__(self) -> str:
        return f"subscription of account {self.user_id}"

    def limit(self, usage_type: UsageType) -> int | None:
        limit: int | None = getattr(self, f"{usage_type}_limit")
        return limit

    def pools(self, usage_type: UsageType) -> Pools:
        return Pools(getattr(self, f"{usage_type}_rollover"), getattr(self, f"{usage_type}_purchased"))

    def set_pools(self, usage_type: UsageType, pools: Pools) -> None:
        """In memory only; the caller holds the row lock and saves."""
        setattr(self, f"{usage_type}_rollover", pools.rollover)
        setattr(self, f"{usage_type}_purchased", pools.purchased)
