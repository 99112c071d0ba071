"""Plans, and what accounts have: plan and limits are set here, balances change by gifts and corrections."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from billing.errors import MissingSubscription
from billing.models import Plan, Subscription
from billing.plans import balances
from billing.usage.events import LARGEST_COUNT
from billing.usage_types import USAGE_TYPE_CHOICES, UsageType

POOLS = [f"{kind.value}_{pool}" for kind in UsageType for pool in ("rollover", "purchased")]


class Gift(forms.Form):
    usage_type = forms.ChoiceField(choices=USAGE_TYPE_CHOICES)
    characters = forms.IntegerField(min_value=1, max_value=LARGEST_COUNT)
    reason = forms.CharField(max_length=200, help_text="Goes into the ledger, and the account can read it.")


class Correction(Gift):
    characters = forms.IntegerField(
        min_value=-LARGEST_COUNT, max_value=LARGEST_COUNT, help_text="Below 0: they are taken."
    )

    def clean_characters(self) -> int:
        characters: int = self.cleaned_data["characters"]
        if characters == 0:
            raise forms.ValidationError("A correction by nothing is none.")
        return characters


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    list_display = ["name", "slug", "standard_limit", "premium_limit", "ocr_limit", "is_active"]

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> list[str]:
        return ["slug"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return False  # accounts have it; what is no longer offered is made inactive


@admin.register(Subscription)
class SubscriptionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["user", "plan", "standard_limit", "premium_limit", *POOLS]
    list_filter = ["plan"]
    list_select_related = ["user", "plan"]
    search_fields = ["user__username", "user__email"]
    actions = ["give", "correct"]
    # A form holds these for as long as the page is open, and would save them back stale.
    readonly_fields = ["user", *POOLS]

    def save_model(self, request: HttpRequest, obj: Subscription, form: Any, change: bool) -> None:
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

    @admin.action(description="Give characters", permissions=["change"])
    def give(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> HttpResponse | None:
        return self._change(request, queryset, "give", Gift)

    @admin.action(description="Correct", permissions=["change"])
    def correct(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> HttpResponse | None:
        return self._change(request, queryset, "correct", Correction)

    def _change(
        self, request: HttpRequest, queryset: QuerySet[Subscription], action: str, kind: type[Gift]
    ) -> HttpResponse | None:
        """Ask for amount and reason first; then an entry for each of the chosen."""
        form = kind(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return self._ask(request, queryset, action, form)
        book = balances.grant if action == "give" else balances.correct
        chosen = form.cleaned_data
        for user_id in queryset.order_by("pk").values_list("user_id", flat=True):
            try:
                book(
                    user_id,
                    UsageType(chosen["usage_type"]),
                    chosen["characters"],
                    reason=chosen["reason"],
                    operator=request.user.get_username(),
                )
            except MissingSubscription as error:
                self.message_user(request, str(error), messages.WARNING)
        self.message_user(request, "It is in the ledger.", messages.SUCCESS)
        return None

    def _ask(
        self, request: HttpRequest, queryset: QuerySet[Subscription], action: str, form: Gift
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Give characters" if action == "give" else "Correct what was charged",
            "subscriptions": queryset.select_related("user"),
            "form": form,
            "action": action,
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/billing/change_balance.html", context)
