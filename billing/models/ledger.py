"""The ledger: one append-only row for each use, gift, correction and rollover."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.cost import BASIS_POINTS
from billing.usage_types import LONGEST_SLUG, USAGE_TYPE_CHOICES

PARTS = ("from_subscription", "from_rollover", "from_purchased", "to_debt")


class LedgerEntry(models.Model):
    """The charge of one usage event, or a gift, a correction or a rollover.

    Append-only: a trigger refuses updates and deletes. The cost is negative where characters were given.

    Account, document, model and voice are not foreign keys, because the ledger outlives them: a key would
    have to delete entries with the account, prevent its deletion, or merge all deleted accounts into one.
    Account numbers are never reused, so the number of a deleted account identifies no person.
    """

    class Kind(models.TextChoices):
        USAGE = "usage"
        GRANT = "grant"
        CORRECTION = "correction"
        ROLLOVER = "rollover"

    event_id = models.CharField(max_length=64)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.USAGE)
    user_id = models.BigIntegerField()
    characters = models.PositiveBigIntegerField(help_text="Code points of the spoken text.")
    multiplier_bp = models.PositiveIntegerField("multiplier", help_text="Basis points: 10,000 is 1.")
    cost = models.BigIntegerField(help_text="Characters charged; negative if they were given.")
    from_subscription = models.BigIntegerField()
    from_rollover = models.BigIntegerField()
    from_purchased = models.BigIntegerField()
    to_debt = models.BigIntegerField()
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPE_CHOICES)
    model = models.CharField(max_length=LONGEST_SLUG, blank=True)
    voice = models.CharField(max_length=LONGEST_SLUG, blank=True)
    document = models.UUIDField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField()
    hash = models.CharField("variant hash", max_length=64, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    operator = models.CharField(max_length=150, blank=True)
    occurred_at = models.DateTimeField(help_text="When the job finished.")
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-occurred_at", "-id"]
        verbose_name_plural = "ledger entries"
        # Each filter column together with the time, the order of all lists: a page reads only its rows.
        indexes = [
            models.Index(name="ledger_of_account", fields=["user_id", "occurred_at"]),
            models.Index(name="ledger_of_voice", fields=["voice", "occurred_at"]),
            models.Index(name="ledger_of_model", fields=["model", "occurred_at"]),
            models.Index(name="ledger_of_type", fields=["usage_type", "occurred_at"]),
            models.Index(name="ledger_by_time", fields=["occurred_at"]),
            models.Index(name="ledger_not_usage", fields=["kind", "occurred_at"], condition=~Q(kind="usage")),
        ]
        constraints = [
            # The stream delivers at least once; this constraint makes a charge happen once.
            models.UniqueConstraint(name="ledger_event_once", fields=["event_id"]),
            models.CheckConstraint(
                name="ledger_cost_rounded_up_once",
                condition=~Q(kind="usage")
                | Q(cost=(F("characters") * F("multiplier_bp") + (BASIS_POINTS - 1)) / BASIS_POINTS),
            ),
            models.CheckConstraint(
                name="ledger_parts_add_up",
                condition=Q(
                    cost=F("from_subscription") + F("from_rollover") + F("from_purchased") + F("to_debt")
                ),
            ),
            models.CheckConstraint(
                name="ledger_usage_takes",
                condition=~Q(kind="usage") | Q(**{f"{part}__gte": 0 for part in PARTS}),
            ),
            models.CheckConstraint(
                name="ledger_changes_have_reason_and_operator",
                condition=~Q(kind__in=["grant", "correction"]) | (~Q(reason="") & ~Q(operator="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.cost} characters ({self.event_id})"
