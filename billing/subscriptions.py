"""Subscription rows of new accounts, and the limits that they begin with."""

from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth import get_user_model

from billing.models import Plan, Subscription

UNLIMITED_PLAN = "self-hosted"


def ensure_subscriptions(user_ids: Iterable[int] | None = None) -> None:
    """Give these accounts (None: all) the row that they lack. Repeatable. Leaves out who does not exist."""
    lacking = get_user_model().objects.filter(subscription__isnull=True).order_by("pk")
    if user_ids is not None:
        lacking = lacking.filter(pk__in=list(user_ids))
    wanting = list(lacking.values_list("pk", flat=True))
    if wanting:
        fields = _default_subscription()
        Subscription.objects.bulk_create(
            [Subscription(user_id=pk, **fields) for pk in wanting], ignore_conflicts=True
        )


def _default_subscription() -> dict[str, object]:
    """What a new account has: the default plan, with limits of its own if the settings say so."""
    plan = Plan.objects.filter(slug=settings.DEFAULT_PLAN).first()
    return {
        "plan": plan,
        "standard_limit": new_limit(plan is not None, plan.standard_limit if plan else None),
        "premium_limit": new_limit(plan is not None, plan.premium_limit if plan else None),
    }


def new_limit(is_plan: bool, of_plan: int | None) -> int | None:
    """Of a new account, by what its plan says if there is that plan; a wrong name must not mean unlimited."""
    default: int | None = settings.DEFAULT_CHARACTER_LIMIT
    if default is not None:
        return default
    return of_plan if is_plan or settings.DEFAULT_PLAN == UNLIMITED_PLAN else 0
