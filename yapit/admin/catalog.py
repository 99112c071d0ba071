"""Admin of models and voices: availability, names, prices, and access of testers."""

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from yapit import invalidation
from yapit.admin.saving import InvalidatingAdmin, SaveChangedFields
from yapit.catalog import voice_access
from yapit.models import TTSModel, Voice

Change = Callable[[Iterable[int], Iterable[int]], None]


class AccountsForm(forms.Form):
    accounts = forms.CharField(help_text="User names, separated by commas.")

    def clean_accounts(self) -> list[User]:
        names = {name.strip() for name in self.cleaned_data["accounts"].split(",")} - {""}
        users = list(User.objects.filter(username__in=names))
        if missing := names - {user.get_username() for user in users}:
            raise forms.ValidationError(f"Unknown accounts: {', '.join(sorted(missing))}.")
        if not users:
            raise forms.ValidationError("Enter at least one user name.")
        return users


@admin.register(TTSModel)
class TTSModelAdmin(InvalidatingAdmin, SaveChangedFields):
    list_display = ["slug", "name", "usage_type", "usage_multiplier_bp", "is_active", "revision"]
    list_filter = ["is_active", "usage_type"]
    search_fields = ["slug", "name"]
    # The slug names queues and is part of hashes; revision and codec are too, and are set by seeding.
    readonly_fields = ["slug", "revision", "codec", "created"]

    def invalidate(self, *ids: Any) -> None:
        invalidation.catalog_changed()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # models are created with their engine, by `manage.py seed`


@admin.register(Voice)
class VoiceAdmin(InvalidatingAdmin, SaveChangedFields):
    list_display = ["slug", "name", "model", "language", "gender", "owner", "approved", "is_active"]
    list_filter = ["approved", "is_active", "model", ("owner", admin.EmptyFieldListFilter)]
    list_select_related = ["model", "owner"]
    search_fields = ["slug", "name", "=language", "=owner__username"]
    raw_id_fields = ["owner", "testers"]
    actions = ("approve", "grant", "withdraw")

    def invalidate(self, *ids: Any) -> None:
        invalidation.catalog_changed()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("slug", "model") if obj else ()

    @admin.action(description="Approve selected voices", permissions=["change"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Voice]) -> None:
        voice_access.approve(queryset.values_list("pk", flat=True))
        self.message_user(request, "The voices have been approved.", messages.SUCCESS)

    @admin.action(description="Share selected voices with accounts", permissions=["change"])
    def grant(self, request: HttpRequest, queryset: QuerySet[Voice]) -> HttpResponse | None:
        return self._with_accounts(request, queryset, voice_access.grant, "Share with")

    @admin.action(description="Stop sharing selected voices", permissions=["change"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Voice]) -> HttpResponse | None:
        return self._with_accounts(request, queryset, voice_access.withdraw, "Stop sharing with")

    def _with_accounts(
        self, request: HttpRequest, queryset: QuerySet[Voice], change: Change, title: str
    ) -> HttpResponse | None:
        """Ask for the accounts on an intermediate page, then apply the change."""
        form = AccountsForm(request.POST if "accounts" in request.POST else None)
        if form.is_valid():
            change(queryset.values_list("pk", flat=True), [user.pk for user in form.cleaned_data["accounts"]])
            self.message_user(request, "The voices have been changed.", messages.SUCCESS)
            return None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "form": form,
            "voices": queryset,
            "action": request.POST["action"],
        }
        return TemplateResponse(request, "admin/yapit/voice/accounts.html", context)
