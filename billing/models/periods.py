"""Usage periods: one calendar month of one account and usage type."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from billing.models.fields import limit_field, not_negative
from billing.usage_types import USAGE_TYPE_CHOICES


class UsagePeriod(models.Model):
    """What one account used of one type from `start` up to `end`, which is not part of it.

    The limit is the one in force; once the period is closed, it is the one that was, and `carried` is what
    it added to a rollover that was `rollover_before`.
    """

    user_id = models.BigIntegerField()
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPE_CHOICES)
    start = models.DateTimeField()
    end = models.DateTimeField()
    limit = limit_field()
    used = models.BigIntegerField(default=0, help_text="Taken from the limit.")
    total = models.BigIntegerField(default=0, help_text="Used in all, whatever paid for it.")
    closed_at = models.DateTimeField(null=True, blank=True)
    rollover_before = models.BigIntegerField(default=0)
    carried = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(name="period_once", fields=["user_id", "usage_type", "start"]),
            models.CheckConstraint(name="period_ends_after_its_start", condition=Q(start__lt=F("end"))),
            *not_negative("period", "limit", "used", "total", "carried"),
        ]
        indexes = [
            models.Index(name="period_to_close", fields=["end"], condition=Q(closed_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.usage_type} of account {self.user_id} from {self.start:%Y-%m-%d}"
