"""Accounts' limits and counters, and the ledger that the counters are the sum of."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.cost import BASIS_POINTS
from billing.events import LONGEST_SLUG, UsageType

USAGE_TYPES = [(usage_type.value, usage_type.value) for usage_type in UsageType]


def default_limit() -> int | None:
    limit: int | None = settings.DEFAULT_CHARACTER_LIMIT
    return limit


def _limit_field() -> "models.BigIntegerField[int | None, int | None]":
    help_text = "Characters. Empty: unlimited; 0: none."
    return models.BigIntegerField(null=True, blank=True, default=default_limit, help_text=help_text)


class Subscription(models.Model):
    """What one account may spend and has spent. Its row is the lock under which anything is charged to it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="subscription"
    )
    standard_limit = _limit_field()
    premium_limit = _limit_field()
    standard_used = models.BigIntegerField(default=0)
    premium_used = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name=f"subscription_{name}_not_negative", condition=Q(**{f"{name}__gte": 0})
            )
            for name in ("standard_limit", "premium_limit", "standard_used", "premium_used")
        ]

    def __str__(self) -> str:
        return f"subscription of account {self.user_id}"

    def limit(self, usage_type: UsageType) -> int | None:
        return self.premium_limit if usage_type is UsageType.PREMIUM else self.standard_limit

    def used(self, usage_type: UsageType) -> int:
        return self.premium_used if usage_type is UsageType.PREMIUM else self.standard_used

    def charge(self, usage_type: UsageType, cost: int) -> None:
        """Count in memory only; the caller holds the row's lock and writes the counters."""
        if usage_type is UsageType.PREMIUM:
            self.premium_used += cost
        else:
            self.standard_used += cost


class LedgerEntry(models.Model):
    """One piece of usage, as it was charged. Rows are added; a trigger refuses to change or remove one.

    Account, document, model and voice are no foreign keys, since the ledger outlives them: a key would have
    to remove entries with the account, forbid its deletion, or make one of all deleted accounts. An account's
    number is never given again, so what stays here of a deleted account is a name for nobody.
    """

    event_id = models.CharField(max_length=64)
    user_id = models.BigIntegerField()
    characters = models.PositiveBigIntegerField(help_text="Code points of the spoken text.")
    multiplier_bp = models.PositiveIntegerField("multiplier", help_text="Basis points: 10,000 is once.")
    cost = models.PositiveBigIntegerField(help_text="Characters charged.")
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPES)
    model = models.CharField(max_length=LONGEST_SLUG)
    voice = models.CharField(max_length=LONGEST_SLUG)
    document = models.UUIDField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField()
    hash = models.CharField("variant hash", max_length=64)
    occurred_at = models.DateTimeField(help_text="When the job was finished.")
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(name="ledger_of_account", fields=["user_id", "occurred_at"]),
            models.Index(name="ledger_by_time", fields=["occurred_at"]),
        ]
        constraints = [
            # The stream delivers at least once; this makes a charge happen once, whoever forgets to look.
            models.UniqueConstraint(name="ledger_event_once", fields=["event_id"]),
            models.CheckConstraint(
                name="ledger_cost_rounded_up_once",
                condition=Q(cost=(F("characters") * F("multiplier_bp") + (BASIS_POINTS - 1)) / BASIS_POINTS),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cost} characters ({self.event_id})"
