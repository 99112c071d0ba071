"""Speech models: TTS models, voices, and variants of blocks that were synthesized."""

from django.conf import settings
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Length
from django.db.models.lookups import Exact

from billing.usage_types import SPEECH_TYPES, UsageType

# A slug is part of Redis keys, URLs and metric labels.
SLUG = r"^[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$"
USAGE_TYPE_CODES = [usage_type.value for usage_type in SPEECH_TYPES]
USAGE_TYPE_LABELS = [(code, code.capitalize()) for code in USAGE_TYPE_CODES]


class TTSModel(models.Model):
    """An engine in the catalog, with the price of its characters."""

    slug = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=100)
    usage_multiplier_bp = models.PositiveIntegerField(
        "usage multiplier (basis points)", default=10_000, help_text="10000: a character counts as one."
    )
    usage_type = models.CharField(max_length=16, choices=USAGE_TYPE_LABELS, default=UsageType.STANDARD)
    is_active = models.BooleanField(default=True)
    revision = models.CharField(
        max_length=200, help_text="Of the engine at the last seeding; part of each variant hash."
    )
    codec = models.CharField(
        max_length=100, help_text="Of the audio at the last seeding; part of each variant hash."
    )
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = "model"
        constraints = [
            models.CheckConstraint(name="model_slug_is_plain", condition=Q(slug__regex=SLUG)),
            models.CheckConstraint(
                name="model_usage_type_is_known", condition=Q(usage_type__in=USAGE_TYPE_CODES)
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class Voice(models.Model):
    """A voice of one model: public, or owned by an account."""

    class Gender(models.TextChoices):
        FEMALE = "female"
        MALE = "male"
        NEUTRAL = "neutral"
        UNSTATED = ""

    slug = models.CharField(max_length=64, unique=True)
    model = models.ForeignKey(TTSModel, models.PROTECT, related_name="voices")
    name = models.CharField(max_length=100)
    language = models.CharField(max_length=35, help_text="BCP 47, such as en or pt-BR.")
    gender = models.CharField(max_length=16, choices=Gender, blank=True, default="")
    description = models.TextField(blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="voices",
        help_text="Empty: every account may use it.",
    )
    approved = models.BooleanField(default=False)
    testers = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        blank=True,
        related_name="shared_voices",
        help_text="Testers who may use it.",
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(name="voice_slug_is_plain", condition=Q(slug__regex=SLUG)),
            models.CheckConstraint(
                name="voice_parameters_are_an_object",
                condition=Exact(
                    Func(F("parameters"), function="jsonb_typeof", output_field=models.TextField()),
                    Value("object"),
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.slug


def _is_sha256(field: str) -> Q:
    """64 lower-case hex digits, by a round trip: a regular expression takes a third of an insert's time."""
    decoded = Func(F(field), Value("hex"), function="decode", output_field=models.BinaryField())
    encoded = Func(decoded, Value("hex"), function="encode", output_field=models.CharField())
    return Q(Exact(Length(field), 64)) & Q(Exact(F(field), encoded))


class BlockVariant(models.Model):
    """A text that was synthesized at least once, by the hash of everything that affects its audio.

    The audio itself is found by the hash and may have been evicted. Rows are written only by
    `yapit.synthesis.variants.record`, after the charge.
    """

    # With the C collation the index also serves prefix searches, so no second index is needed.
    hash = models.CharField(max_length=64, primary_key=True, db_collation="C")
    model = models.CharField(max_length=200)
    voice = models.CharField(max_length=200)
    characters = models.PositiveIntegerField()
    duration_ms = models.PositiveIntegerField()
    created = models.DateTimeField()

    class Meta:
        ordering = ["-created", "-hash"]
        # One for each list of the admin, so that a million rows are never sorted or scanned.
        indexes = [
            models.Index(name="variant_created", fields=["-created", "-hash"]),
            models.Index(name="variant_model_created", fields=["model", "-created", "-hash"]),
            models.Index(name="variant_voice_created", fields=["voice", "-created", "-hash"]),
        ]
        constraints = [
            models.CheckConstraint(name="variant_hash_is_sha256", condition=_is_sha256("hash")),
        ]

    def __str__(self) -> str:
        return self.hash
