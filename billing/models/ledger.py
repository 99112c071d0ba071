"""The ledger: one append-only row for each use, and for each other change of a balance."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.cost import BASIS_POINTS
from billing.usage_types import LONGEST_FOREIGN_ID, LONGEST_SLUG, USAGE_TYPE_CHOICES

PARTS = ("from_subscription", "from_rollover", "from_purchased", "to_debt")


class EntryKind(models.TextChoices):
    """Causes of a ledger entry."""

    USAGE = "usage"
    GRANT = "grant"
    CORRECTION = "correction"
    ROLLOVER = "rollover"
    PURCHASE = "purchase"
    REFUND = "refund"
    DISPUTE = "dispute"
    EXPIRY = "expiry"


class LedgerEntry(models.Model):
    """The charge of one usage event, or another change of a balance.

    Append-only: triggers refuse UPDATE, DELETE and TRUNCATE. The cost is negative where characters were
    given. `operation_id` identifies the operation that caused a change, such as a form that was sent or a
    payment; the same operation changes a balance once.

    Account, API key, document, model and voice are not foreign keys, because the ledger outlives them: a
    foreign key would have to delete entries with the account, prevent its deletion, or merge all deleted
    accounts into one. Account numbers are never reused, so the number of a deleted account identifies no
    person.
    """

    event_id = models.CharField(max_length=LONGEST_FOREIGN_ID)
    kind = models.CharField(max_length=16, choices=EntryKind.choices, default=EntryKind.USAGE)
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
    operator = models.CharField(max_length=LONGEST_FOREIGN_ID, blank=True)
    # NULL: the columns were added to a ledger of any size, and most entries have neither.
    api_key = models.CharField(  # noqa: DJ001
        "API key",
        max_length=LONGEST_FOREIGN_ID,
        null=True,
        blank=True,
        help_text="Public id of the key that caused the usage; empty: none did.",
    )
    operation_id = models.CharField(max_length=LONGEST_FOREIGN_ID, null=True, blank=True)  # noqa: DJ001
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
            models.UniqueConstraint(
                name="ledger_operation_once",
                fields=["operation_id", "user_id", "usage_type"],
                condition=Q(operation_id__isnull=False),
            ),
            models.CheckConstraint(name="ledger_kind_is_known", condition=Q(kind__in=EntryKind.values)),
            models.CheckConstraint(
                name="ledger_payments_have_an_operation_id",
                condition=~Q(kind__in=["purchase", "refund", "dispute"]) | Q(operation_id__isnull=False),
            ),
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
