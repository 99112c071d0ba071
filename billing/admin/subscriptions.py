"""Admin pages of plans and subscriptions: forms set plan and limits, actions book gifts and corrections."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from billing.errors import MissingSubscription
from billing.models import Balance, Plan, Subscription
from billing.plans import balances
from billing.usage.events import LARGEST_COUNT
from billing.usage_types import USAGE_TYPE_CHOICES, UsageType

LARGEST_LIMIT = 2**63 - 1
LIMITS = [f"{kind.value}_limit" for kind in UsageType]
POOLS = [f"{kind.value}_{pool}" for kind in UsageType for pool in ("rollover", "purchased")]


class GiftForm(forms.Form):
    usage_type = forms.ChoiceField(choices=USAGE_TYPE_CHOICES)
    characters = forms.IntegerField(min_value=1, max_value=LARGEST_COUNT)
    reason = forms.CharField(max_length=200, help_text="Recorded in the ledger; visible to the account.")


class CorrectionForm(GiftForm):
    characters = forms.IntegerField(
        min_value=-LARGEST_COUNT, max_value=LARGEST_COUNT, help_text="Below 0: characters are taken."
    )

    def clean_characters(self) -> int:
        characters: int = self.cleaned_data["characters"]
        if characters == 0:
            raise forms.ValidationError("The number must not be 0.")
        return characters


@admin.register(Plan)
class PlanAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    list_display = ["name", "slug", "standard_limit", "premium_limit", "ocr_limit", "is_active"]

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> list[str]:
        return ["slug"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return False  # accounts refer to it; plans no longer offered are made inactive


def _limit_field() -> forms.IntegerField:
    return forms.IntegerField(
        required=False,
        min_value=0,
        max_value=LARGEST_LIMIT,
        help_text="Per period. Empty: unlimited; 0: none.",
    )


class SubscriptionForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """The plan, and the limits of the balances."""

    standard_limit = _limit_field()
    premium_limit = _limit_field()
    ocr_limit = _limit_field()

    class Meta:
        model = Subscription
        fields = ("plan",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for balance in Balance.objects.filter(user_id=self.instance.user_id):
            self.initial[f"{balance.usage_type}_limit"] = balance.limit

    def edited_limits(self) -> dict[str, int | None]:
        """Limits that differ from those in the database, by usage type."""
        return {
            kind.value: self.cleaned_data[f"{kind}_limit"]
            for kind in UsageType
            if f"{kind}_limit" in self.changed_data
        }


def _balance_column(name: str) -> Any:
    """A read-only column of the annotation with that name."""

    @admin.display(description=name.replace("_", " "), ordering=name)
    def column(subscription: Subscription) -> int | None:
        value: int | None = getattr(subscription, name)
        return value

    column.__name__ = name
    return column


LIMIT_COLUMNS = [_balance_column(name) for name in LIMITS]
POOL_COLUMNS = [_balance_column(name) for name in POOLS]


@admin.register(Subscription)
class SubscriptionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = SubscriptionForm
    list_display = ["user", "plan", *LIMIT_COLUMNS, *POOL_COLUMNS]
    list_filter = ["plan"]
    list_select_related = ["user", "plan"]
    search_fields = ["user__username", "user__email"]
    actions = ["give", "correct"]
    fields = ["user", "plan", *LIMITS, *POOL_COLUMNS]
    # A form would save these as they were when the page was opened.
    readonly_fields = ["user", *POOL_COLUMNS]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        """Subscriptions with their balances as annotations such as `premium_rollover`."""
        of_account = Balance.objects.filter(user_id=OuterRef("user_id"))
        columns = {
            f"{kind.value}_{name}": Subquery(of_account.filter(usage_type=kind).values(name))
            for kind in UsageType
            for name in ("limit", "rollover", "purchased")
        }
        rows: QuerySet[Subscription] = super().get_queryset(request).annotate(**columns)
        return rows

    def save_model(self, request: HttpRequest, obj: Subscription, form: Any, change: bool) -> None:
        """Save edited values only: the row may have changed since the form was opened."""
        before = Subscription.objects.get(pk=obj.pk)
        if obj.plan and obj.plan_id != before.plan_id:
            balances.assign(obj.user_id, obj.plan)
        if limits := form.edited_limits():
            balances.set_limits(obj.user_id, **limits)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # created with the account

    def has_delete_permission(self, request: HttpRequest, obj: Subscription | None = None) -> bool:
        return False  # deleted with the account

    @admin.action(description="Give characters", permissions=["change"])
    def give(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> HttpResponse | None:
        return self._change(request, queryset, "give", GiftForm)

    @admin.action(description="Correct charges", permissions=["change"])
    def correct(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> HttpResponse | None:
        return self._change(request, queryset, "correct", CorrectionForm)

    def _change(
        self, request: HttpRequest, queryset: QuerySet[Subscription], action: str, form_class: type[GiftForm]
    ) -> HttpResponse | None:
        """Show the form until it is valid and confirmed, then book one entry for each selected account."""
        form = form_class(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return self._confirm(request, queryset, action, form)
        book = balances.grant if action == "give" else balances.correct
        values = form.cleaned_data
        for user_id in queryset.order_by("pk").values_list("user_id", flat=True):
            try:
                book(
                    user_id,
                    UsageType(values["usage_type"]),
                    values["characters"],
                    reason=values["reason"],
                    operator=request.user.get_username(),
                )
            except MissingSubscription as error:
                self.message_user(request, str(error), messages.WARNING)
        self.message_user(request, "Recorded in the ledger.", messages.SUCCESS)
        return None

    def _confirm(
        self, request: HttpRequest, queryset: QuerySet[Subscription], action: str, form: GiftForm
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Give characters" if action == "give" else "Correct charges",
            "subscriptions": queryset.select_related("user"),
            "form": form,
            "action": action,
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/billing/change_balance.html", context)
