"""Subscription rows of new accounts, and their initial limits."""

from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth import get_user_model

from billing.models import Plan, Subscription

UNLIMITED_PLAN = "self-hosted"


def ensure_subscriptions(user_ids: Iterable[int] | None = None) -> None:
    """Create missing subscriptions of these accounts (None: of all). Repeatable; skips unknown accounts."""
    missing = get_user_model().objects.filter(subscription__isnull=True).order_by("pk")
    if user_ids is not None:
        missing = missing.filter(pk__in=list(user_ids))
    missing_ids = list(missing.values_list("pk", flat=True))
    if missing_ids:
        fields = _default_subscription()
        Subscription.objects.bulk_create(
            [Subscription(user_id=pk, **fields) for pk in missing_ids], ignore_conflicts=True
        )


def _default_subscription() -> dict[str, object]:
    """Field values of a new row: the default plan, and its limits unless the settings replace them."""
    plan = Plan.objects.filter(slug=settings.DEFAULT_PLAN).first()
    return {
        "plan": plan,
        "standard_limit": new_limit(plan is not None, plan.standard_limit if plan else None),
        "premium_limit": new_limit(plan is not None, plan.premium_limit if plan else None),
    }


def new_limit(has_plan: bool, plan_limit: int | None) -> int | None:
    """The limit of a new account. A DEFAULT_PLAN that does not exist means 0, not unlimited."""
    default: int | None = settings.DEFAULT_CHARACTER_LIMIT
    if default is not None:
        return default
    return plan_limit if has_plan or settings.DEFAULT_PLAN == UNLIMITED_PLAN else 0
