"""Subscription and balance rows of new accounts, and their initial limits."""

from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from billing.models import Balance, Plan, Subscription, default_limit
from billing.usage_types import SPEECH_TYPES, UsageType

UNLIMITED_PLAN = "self-hosted"


def ensure_subscriptions(user_ids: Iterable[int] | None = None) -> None:
    """Create missing subscriptions and balances of these accounts (None: of all), in one transaction.

    Repeatable; skips unknown accounts.
    """
    chosen = None if user_ids is None else list(user_ids)
    with transaction.atomic():
        _create_subscriptions(chosen)
        _create_balances(chosen)


def _create_subscriptions(user_ids: list[int] | None) -> None:
    missing = get_user_model().objects.filter(subscription__isnull=True).order_by("pk")
    if user_ids is not None:
        missing = missing.filter(pk__in=user_ids)
    missing_ids = list(missing.values_list("pk", flat=True))
    if missing_ids:
        plan = Plan.objects.filter(slug=settings.DEFAULT_PLAN).first()
        Subscription.objects.bulk_create(
            [Subscription(user_id=pk, plan=plan) for pk in missing_ids], ignore_conflicts=True
        )


def _create_balances(user_ids: list[int] | None) -> None:
    balances = [
        Balance(user_id=subscription.user_id, usage_type=usage_type, limit=_limit(usage_type, subscription))
        for subscription in _without_all_balances(user_ids)
        for usage_type in UsageType
    ]
    Balance.objects.bulk_create(balances, ignore_conflicts=True)


def _without_all_balances(user_ids: list[int] | None) -> QuerySet[Subscription]:
    of_account = Balance.objects.filter(user_id=OuterRef("user_id"))
    is_incomplete = Q()
    for usage_type in UsageType:
        is_incomplete |= Q(~Exists(of_account.filter(usage_type=usage_type)))
    rows = Subscription.objects.filter(is_incomplete).select_related("plan").order_by("pk")
    return rows if user_ids is None else rows.filter(user_id__in=user_ids)


def _limit(usage_type: UsageType, subscription: Subscription) -> int | None:
    plan = subscription.plan
    return new_limit(usage_type, plan is not None, plan.limit(usage_type) if plan else None)


def new_limit(usage_type: UsageType, has_plan: bool, plan_limit: int | None) -> int | None:
    """The limit of a new account: that of its plan, unless DEFAULT_CHARACTER_LIMIT replaces it for speech.

    A DEFAULT_PLAN that does not exist means 0, not unlimited.
    """
    default = default_limit() if usage_type in SPEECH_TYPES else None
    if default is not None:
        return default
    return plan_limit if has_plan or settings.DEFAULT_PLAN == UNLIMITED_PLAN else 0
