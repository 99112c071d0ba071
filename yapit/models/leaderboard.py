"""Leaderboard models: the most played voices and public documents of each day, without accounts."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

FEWEST_LISTENERS = 5  # with fewer, a listener could be identified


class LeaderboardDay(models.Model):
    """A rolled-up day in UTC. It may have no rows."""

    day = models.DateField(primary_key=True)
    rolled_up_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.day}"


class LeaderboardRow(models.Model):
    """A rank of a day. Written only by `yapit.usage.leaderboard.roll_up`."""

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
