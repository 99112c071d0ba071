"""Looking at what was spent, and setting what may be. Counters and ledger are for looking only."""

from typing import Any, ClassVar, cast

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.functional import cached_property

from billing import balances
from billing.events import UsageType
from billing.models import LedgerEntry, Plan, Subscription

COUNTED_ROWS = 10_000
LARGEST_ACCOUNT = 2**63 - 1
POOLS = [f"{kind.value}_{pool}" for kind in UsageType for pool in ("rollover", "purchased")]


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    """Counts so far and no farther: counting the whole ledger for "page 1 of 100,000" takes seconds."""

    @cached_property
    def count(self) -> int:
        rows = cast(QuerySet[Any], self.object_list)
        return rows[:COUNTED_ROWS].count()


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    list_display = ["name", "slug", "standard_limit", "premium_limit", "ocr_limit", "is_active"]

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> list[str]:
        return ["slug"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return False  # accounts have it; what is no longer offered is made inactive


@admin.register(Subscription)
class SubscriptionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Plan and limits are set here; balances change by gifts and corrections only."""

    list_display = ["user", "plan", "standard_limit", "premium_limit", *POOLS]
    list_filter = ["plan"]
    list_select_related = ["user", "plan"]
    search_fields = ["user__username", "user__email"]
    # A form holds these for as long as the page is open, and would save them back stale.
    readonly_fields = ["user", *POOLS]

    def save_model(
        self, request: HttpRequest, obj: Subscription, form: "ModelForm[Subscription]", change: bool
    ) -> None:
        """Only what was edited: the row was read before, and may have changed since."""
        before = Subscription.objects.get(pk=obj.pk)
        if obj.plan and obj.plan_id != before.plan_id:
            balances.assign(obj.user_id, obj.plan)
        if any(obj.limit(kind) != before.limit(kind) for kind in UsageType):
            balances.set_limits(obj.user_id, standard=obj.standard_limit, premium=obj.premium_limit)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # every account has one

    def has_delete_permission(self, request: HttpRequest, obj: Subscription | None = None) -> bool:
        return False  # goes with the account


@admin.register(LedgerEntry)
class LedgerEntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """For looking, not for mending: a wrong charge is put right by a new entry."""

    list_display = [
        "occurred_at",
        "user_id",
        "usage_type",
        "cost",
        "characters",
        "model",
        "voice",
        "event_id",
    ]
    list_filter = ["usage_type", "occurred_at"]
    ordering = ["-occurred_at", "-id"]
    sortable_by: ClassVar = []  # by a column without an index, the whole ledger would be sorted
    search_fields = ["event_id"]
    search_help_text = "An event id, an account's number or its username, in full."
    show_full_result_count = False  # counting the whole ledger takes seconds
    paginator = BoundedPaginator

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LedgerEntry], search_term: str
    ) -> tuple[QuerySet[LedgerEntry], bool]:
        """Exact matches that an index answers; the stock search reads every row."""
        term = search_term.strip()
        if not term:
            return queryset, False
        account = Q(user_id__in=get_user_model().objects.filter(username=term).values("pk"))
        if term.isascii() and term.isdigit() and int(term) <= LARGEST_ACCOUNT:
            account |= Q(user_id=int(term))
        return queryset.filter(Q(event_id=term) | account), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: LedgerEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LedgerEntry | None = None) -> bool:
        return False
