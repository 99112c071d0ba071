"""Which voices and public documents were heard most, day by day: numbers only, of nobody in particular."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

FEWEST_LISTENERS = 5  # fewer could be recognised


class LeaderboardDay(models.Model):
    """A day in UTC that was rolled up, also if nothing of it is shown."""

    day = models.DateField(primary_key=True)
    rolled_up_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.day}"


class LeaderboardRow(models.Model):
    """A place of a day. Written by `yapit.usage.leaderboard.roll_up` alone."""

    class Kind(models.TextChoices):
        VOICE = "voice"
        DOCUMENT = "document"

    day = models.DateField()
    kind = models.CharField(max_length=16, choices=Kind)
    rank = models.PositiveIntegerField()
    voice = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    document = models.UUIDField(null=True, help_text="Its title is shown while it is public.")
    characters = models.PositiveBigIntegerField(default=0)
    listeners = models.PositiveIntegerField()

    class Meta:
        ordering = ["day", "-kind", "rank"]
        constraints = [
            models.UniqueConstraint(name="leaderboard_place_once", fields=["day", "kind", "rank"]),
            models.CheckConstraint(
                name="leaderboard_has_enough_listeners", condition=Q(listeners__gte=FEWEST_LISTENERS)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.kind} {self.rank}"
