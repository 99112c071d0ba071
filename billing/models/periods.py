"""Usage periods: one calendar month of one account and usage type."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from billing.models.fields import limit_field, not_negative
from billing.periods import month_of
from billing.usage_types import USAGE_TYPE_CHOICES, UsageType


class UsagePeriod(models.Model):
    """Usage of one account and one type from `start` up to, and not including, `end`.

    `limit` is the limit in force, or, once the period is closed, the one that was. Closing adds `carried` to
    a rollover that was `rollover_before`.
    """

    user_id = models.BigIntegerField()
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPE_CHOICES)
    start = models.DateTimeField()
    end = models.DateTimeField()
    limit = limit_field()
    used = models.BigIntegerField(default=0, help_text="Characters charged to the limit.")
    total = models.BigIntegerField(
        default=0, help_text="Characters used, whether charged to the limit or to balances."
    )
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

    @classmethod
    def of_month(
        cls, user_id: int, usage_type: UsageType, moment: datetime, limit: int | None
    ) -> "UsagePeriod":
        """An unsaved period: the calendar month that contains the moment, with nothing used."""
        month = month_of(moment)
        return cls(
            user_id=user_id,
            usage_type=usage_type.value,
            start=month.start,
            end=month.end,
            limit=limit,
        )
