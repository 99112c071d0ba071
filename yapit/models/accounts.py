"""Account models beside Django's User: roles, preferences and API keys."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

MIN_SPEED, MAX_SPEED = 0.25, 4.0


class Profile(models.Model):
    """Roles of an account. An account without a row has none."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="profile"
    )
    is_tester = models.BooleanField(default=False, help_text="May use the voices shared with this account.")
    is_reviewer = models.BooleanField(default=False, help_text="May use voices that are not approved.")

    def __str__(self) -> str:
        return f"profile of {self.user_id}"


class Preferences(models.Model):
    """Preferences of an account. An account without a row has the defaults."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="preferences"
    )
    pinned_voices = models.JSONField(default=list, blank=True, help_text="Voice slugs, in order.")
    default_voice = models.CharField(
        max_length=64, blank=True, help_text="Empty: the first voice of the default model."
    )
    default_speed = models.FloatField(
        default=1.0, validators=[MinValueValidator(MIN_SPEED), MaxValueValidator(MAX_SPEED)]
    )
    usage_threshold = models.PositiveSmallIntegerField(
        default=80,
        null=True,
        blank=True,
        help_text="Warn when this percentage of the allowance is spent. Empty: never.",
        validators=[MinValueValidator(1), MaxValueValidator(100)],
    )

    class Meta:
        verbose_name_plural = "preferences"
        constraints = [
            models.CheckConstraint(
                name="preferences_speed_in_range",
                condition=Q(default_speed__gte=MIN_SPEED, default_speed__lte=MAX_SPEED),
            ),
            models.CheckConstraint(
                name="preferences_threshold_is_a_percentage",
                condition=Q(usage_threshold__isnull=True)
                | Q(usage_threshold__gte=1, usage_threshold__lte=100),
            ),
        ]

    def __str__(self) -> str:
        return f"preferences of {self.user_id}"


class ApiKey(models.Model):
    """An API key of an account. Only the digest of its token is stored; the token is shown once."""

    id = models.CharField(max_length=16, primary_key=True, help_text="The public part of the token.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, editable=False)
    created = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    last_used = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created", "id"]
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(name="api_key_id_is_plain", condition=Q(id__regex=r"^[0-9a-z]{8,16}$")),
            models.CheckConstraint(
                name="api_key_digest_is_sha256", condition=Q(digest__regex=r"^[0-9a-f]{64}$")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"
