"""Plans and subscriptions."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from billing.models.fields import limit_field, not_negative
from billing.usage_types import UsageType


def default_limit() -> int | None:
    """The default of limits in characters; migrations refer to it as `billing.models.default_limit`."""
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

    def limit(self, usage_type: UsageType) -> int | None:
        limit: int | None = getattr(self, f"{usage_type}_limit")
        return limit


class Subscription(models.Model):
    """The plan of one account. Its row lock guards every change of the account's balances and periods."""

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

    def __str__(self) -> str:
        return f"subscription of account {self.user_id}"
