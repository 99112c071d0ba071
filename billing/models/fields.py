"""Field and constraint builders of billing's models."""

from django.db import models
from django.db.models import Q

from billing.usage_types import UsageType


def limit_field(**options: object) -> "models.BigIntegerField[int | None, int | None]":
    """A limit in characters or tokens; NULL means unlimited."""
    help_text = "Characters per period. Empty: unlimited; 0: none."
    return models.BigIntegerField(null=True, blank=True, help_text=help_text, **options)  # type: ignore[arg-type]


def not_negative(prefix: str, *names: str) -> list[models.BaseConstraint]:
    """One check constraint for each of these columns; its name starts with the prefix."""
    return [
        models.CheckConstraint(name=f"{prefix}_{name}_not_negative", condition=Q(**{f"{name}__gte": 0}))
        for name in names
    ]


def is_usage_type(prefix: str) -> models.BaseConstraint:
    """A check constraint: the column `usage_type` has one of the known values."""
    known = [usage_type.value for usage_type in UsageType]
    return models.CheckConstraint(name=f"{prefix}_usage_type_is_known", condition=Q(usage_type__in=known))
