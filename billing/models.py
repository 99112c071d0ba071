"""Plans, what accounts may spend, and the ledger that every counter here is a sum of."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.cost import BASIS_POINTS
from billing.usage_types import LONGEST_SLUG, UsageType
from billing.waterfall import Pools

USAGE_TYPES = [(usage_type.value, usage_type.value) for usage_type in UsageType]
PARTS = ("from_subscription", "from_rollover", "from_purchased", "to_debt")


def default_limit() -> int | None:
    limit: int | None = settings.DEFAULT_CHARACTER_LIMIT
    return limit


def _limit_field(**options: object) -> "models.BigIntegerField[int | None, int | None]":
    help_text = "Characters a period. Empty: unlimited; 0: none."
    return models.BigIntegerField(null=True, blank=True, help_text=help_text, **options)  # type: ignore[arg-type]


def _not_negative(of: str, *names: str) -> list[models.BaseConstraint]:
    return [
        models.CheckConstraint(name=f"{of}_{name}_not_negative", condition=Q(**{f"{name}__gte": 0}))
        for name in names
    ]


class Plan(models.Model):
    """What is offered. Accounts keep the limits that they were given with it, whatever it says later."""

    slug = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=64)
    rank = models.PositiveSmallIntegerField(default=0, help_text="Higher is more.")
    standard_limit = _limit_field()
    premium_limit = _limit_field()
    ocr_limit = models.BigIntegerField(
        null=True, blank=True, help_text="Tokens a period. Empty: unlimited; 0: none."
    )
    monthly_cents = models.PositiveIntegerField(default=0)
    yearly_cents = models.PositiveIntegerField(default=0)
    trial_days = models.PositiveSmallIntegerField(default=0)
    is_active = models.BooleanField(default=True, help_text="Offered to those who do not have it.")

    class Meta:
        ordering = ["rank", "slug"]
        constraints: ClassVar = _not_negative("plan", "standard_limit", "premium_limit", "ocr_limit")

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """What one account may spend. Its row is the lock under which anything of the account changes."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="subscription"
    )
    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, null=True, blank=True, help_text="Empty: limits of its own."
    )
    standard_limit = _limit_field(default=default_limit)
    premium_limit = _limit_field(default=default_limit)
    standard_rollover = models.BigIntegerField(default=0, help_text="Below 0: debt.")
    premium_rollover = models.BigIntegerField(default=0, help_text="Below 0: debt.")
    standard_purchased = models.BigIntegerField(default=0)
    premium_purchased = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            *_not_negative(
                "subscription", "standard_limit", "premium_limit", "standard_purchased", "premium_purchased"
            ),
            *(
                models.CheckConstraint(
                    name=f"subscription_{kind}_debt_is_paid_first",
                    condition=Q(**{f"{kind}_rollover__gte": 0}) | Q(**{f"{kind}_purchased": 0}),
                )
                for kind in UsageType
            ),
        ]

    def __str__(self) -> str:
        return f"subscription of account {self.user_id}"

    def limit(self, usage_type: UsageType) -> int | None:
        limit: int | None = getattr(self, f"{usage_type}_limit")
        return limit

    def pools(self, usage_type: UsageType) -> Pools:
        return Pools(getattr(self, f"{usage_type}_rollover"), getattr(self, f"{usage_type}_purchased"))

    def set_pools(self, usage_type: UsageType, pools: Pools) -> None:
        """In memory only; the caller holds the row's lock and writes."""
        setattr(self, f"{usage_type}_rollover", pools.rollover)
        setattr(self, f"{usage_type}_purchased", pools.purchased)


class UsagePeriod(models.Model):
    """What one account used of one type from `start` up to `end`, which is not part of it.

    The limit is the one in force; once the period is closed, it is the one that was, and `carried` is what
    it added to a rollover that was `rollover_before`.
    """

    user_id = models.BigIntegerField()
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPES)
    start = models.DateTimeField()
    end = models.DateTimeField()
    limit = _limit_field()
    used = models.BigIntegerField(default=0, help_text="Taken from the limit.")
    total = models.BigIntegerField(default=0, help_text="Used in all, whatever paid for it.")
    closed_at = models.DateTimeField(null=True, blank=True)
    rollover_before = models.BigIntegerField(default=0)
    carried = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(name="period_once", fields=["user_id", "usage_type", "start"]),
            models.CheckConstraint(name="period_ends_after_its_start", condition=Q(start__lt=F("end"))),
            *_not_negative("period", "limit", "used", "total", "carried"),
        ]
        indexes = [
            models.Index(name="period_to_close", fields=["end"], condition=Q(closed_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.usage_type} of account {self.user_id} from {self.start:%Y-%m-%d}"


class LedgerEntry(models.Model):
    """One piece of usage, as it was charged; or a gift, a correction or a rollover, which cost less than
    nothing where characters were given. Rows are added; a trigger refuses to change or remove one.

    Account, document, model and voice are no foreign keys, since the ledger outlives them: a key would have
    to remove entries with the account, forbid its deletion, or make one of all deleted accounts. An account's
    number is never given again, so what stays here of a deleted account is a name for nobody.
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
    multiplier_bp = models.PositiveIntegerField("multiplier", help_text="Basis points: 10,000 is once.")
    cost = models.BigIntegerField(help_text="Characters charged; negative: given.")
    from_subscription = models.BigIntegerField()
    from_rollover = models.BigIntegerField()
    from_purchased = models.BigIntegerField()
    to_debt = models.BigIntegerField()
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPES)
    model = models.CharField(max_length=LONGEST_SLUG, blank=True)
    voice = models.CharField(max_length=LONGEST_SLUG, blank=True)
    document = models.UUIDField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField()
    hash = models.CharField("variant hash", max_length=64, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    operator = models.CharField(max_length=150, blank=True)
    occurred_at = models.DateTimeField(help_text="When the job was finished.")
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-occurred_at", "-id"]
        verbose_name_plural = "ledger entries"
        # In front of the time, which every list is sorted by: a page of any filter reads a page's rows.
        indexes = [
            models.Index(name="ledger_of_account", fields=["user_id", "occurred_at"]),
            models.Index(name="ledger_of_voice", fields=["voice", "occurred_at"]),
            models.Index(name="ledger_of_model", fields=["model", "occurred_at"]),
            models.Index(name="ledger_of_type", fields=["usage_type", "occurred_at"]),
            models.Index(name="ledger_by_time", fields=["occurred_at"]),
            models.Index(name="ledger_not_usage", fields=["kind", "occurred_at"], condition=~Q(kind="usage")),
        ]
        constraints = [
            # The stream delivers at least once; this makes a charge happen once, whoever forgets to look.
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


class _Sums(models.Model):
    """Of usage, kept in the transaction that writes the ledger."""

    user_id = models.BigIntegerField()
    model = models.CharField(max_length=LONGEST_SLUG)
    voice = models.CharField(max_length=LONGEST_SLUG)
    events = models.BigIntegerField()
    characters = models.BigIntegerField(help_text="Code points of the spoken text.")
    cost = models.BigIntegerField(help_text="Characters charged.")
    duration_ms = models.BigIntegerField()

    class Meta:
        abstract = True


class UsageDay(_Sums):
    """By day in UTC, of the event's time."""

    day = models.DateField()
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPES)

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


class VoiceMonth(_Sums):
    """Voice statistics: by month in UTC, of the event's time."""

    month = models.DateField(help_text="Its first day.")

    class Meta:
        verbose_name = "voice statistics"
        verbose_name_plural = "voice statistics"
        constraints = [
            models.UniqueConstraint(name="voice_month_once", fields=["user_id", "month", "model", "voice"]),
        ]
        indexes = [models.Index(name="voice_month_by_month", fields=["month"])]

    def __str__(self) -> str:
        return f"{self.voice} in {self.month:%Y-%m}"
