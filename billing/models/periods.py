"""Usage periods: windows of time in which the usage of one account and type is counted against a limit."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from billing.models.fields import is_usage_type, limit_field, not_negative
from billing.periods import month_of
from billing.usage_types import USAGE_TYPE_CHOICES, UsageType


class PeriodSource(models.TextChoices):
    """Origin of the window: the calendar month, the cycle of a Stripe subscription, or a trial."""

    CALENDAR = "calendar"
    STRIPE = "stripe"
    TRIAL = "trial"


class UsagePeriod(models.Model):
    """Usage of one account and one type from `start` up to, and not including, `end`.

    `limit` is the limit in force, or, once the period is closed, the one that was. Closing adds `carried` to
    a rollover that was `rollover_before`. Periods of one account and type never overlap, which the exclusion
    constraint `period_no_overlap` of migration 0006 ensures.
    """

    user_id = models.BigIntegerField()
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPE_CHOICES)
    start = models.DateTimeField()
    end = models.DateTimeField()
    source = models.CharField(max_length=16, choices=PeriodSource.choices, db_default=PeriodSource.CALENDAR)
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
            is_usage_type("period"),
            models.CheckConstraint(
                name="period_source_is_known", condition=Q(source__in=PeriodSource.values)
            ),
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
            source=PeriodSource.CALENDAR,
            limit=limit,
        )
