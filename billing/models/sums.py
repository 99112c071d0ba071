"""Running sums of usage by day and by month."""

from django.db import models

from billing.usage_types import LONGEST_SLUG, USAGE_TYPE_CHOICES


class UsageSums(models.Model):
    """Columns of sums of usage events; updated in the transaction that writes the ledger."""

    user_id = models.BigIntegerField()
    model = models.CharField(max_length=LONGEST_SLUG)
    voice = models.CharField(max_length=LONGEST_SLUG)
    events = models.BigIntegerField()
    characters = models.BigIntegerField(help_text="Code points of the spoken text.")
    cost = models.BigIntegerField(help_text="Characters charged.")
    duration_ms = models.BigIntegerField()

    class Meta:
        abstract = True


class UsageDay(UsageSums):
    """Sums by day of the event, in UTC."""

    day = models.DateField()
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPE_CHOICES)

    class Meta:
        db_table = "usage_day"
        constraints = [
            models.UniqueConstraint(
                name="usage_day_once", fields=["user_id", "day", "usage_type", "model", "voice"]
            ),
        ]
        indexes = [models.Index(name="usage_day_by_day", fields=["day"])]

    def __str__(self) -> str:
        return f"{self.voice} on {self.day}"


class VoiceMonth(UsageSums):
    """Voice statistics: sums by month of the event, in UTC."""

    month = models.DateField(help_text="The first day of the month.")

    class Meta:
        verbose_name = "voice statistics"
        verbose_name_plural = "voice statistics"
        constraints = [
            models.UniqueConstraint(name="voice_month_once", fields=["user_id", "month", "model", "voice"]),
        ]
        indexes = [models.Index(name="voice_month_by_month", fields=["month"])]

    def __str__(self) -> str:
        return f"{self.voice} in {self.month:%Y-%m}"
