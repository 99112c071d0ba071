"""Field and constraint builders of billing's models."""

from django.db import models
from django.db.models import Q


def limit_field(**options: object) -> "models.BigIntegerField[int | None, int | None]":
    help_text = "Characters a period. Empty: unlimited; 0: none."
    return models.BigIntegerField(null=True, blank=True, help_text=help_text, **options)  # type: ignore[arg-type]


def not_negative(of: str, *names: str) -> list[models.BaseConstraint]:
    return [
        models.CheckConstraint(name=f"{of}_{name}_not_negative", condition=Q(**{f"{name}__gte": 0}))
        for name in names
    ]
