"""Accounts with their roles and preferences, and API keys, whose tokens are shown once."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from billing.subscriptions import ensure_subscriptions
from yapit import invalidation
from yapit.accounts import keys, roles
from yapit.accounts.forms import AdminLogInForm
from yapit.admin.common import SavesWhatWasEdited, TellsOfChanges
from yapit.models import ApiKey, Preferences, Profile

# UserAdmin's own: dates, and nothing that says what an account may do.
POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")


class ProfileInline(admin.StackedInline):  # type: ignore[type-arg]  # generic in the stubs only
    model = Profile


class PreferencesInline(admin.StackedInline):  # type: ignore[type-arg]
    model = Preferences


class AccountAdmin(TellsOfChanges, UserAdmin):  # type: ignore[type-arg]
    inlines = (ProfileInline, PreferencesInline)
    tell = staticmethod(invalidation.accounts_changed)
    actions = ("add_testers", "remove_testers")

    @admin.action(description="Make the selected accounts testers", permissions=["change"])
    def add_testers(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        roles.add_testers(queryset.values_list("pk", flat=True))
        self.message_user(request, "They are testers now.", messages.SUCCESS)

    @admin.action(description="Make the selected accounts testers no longer", permissions=["change"])
    def remove_testers(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        roles.remove_testers(queryset.values_list("pk", flat=True))
        self.message_user(request, "They are testers no longer.", messages.SUCCESS)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Who may look after accounts may not make one, or their own, more than it is."""
        return super().get_readonly_fields(request, obj) if _is_operator(request) else POWERS

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and not _is_above(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not _is_above(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: "ModelForm[User]", change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            ensure_subscriptions([obj.pk])

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return self.inlines if obj else ()  # a new account is made first, as Django does it


def _is_operator(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _is_above(request: HttpRequest, account: User | None) -> bool:
    """A password that one may set is an account that one may use."""
    return account is not None and (account.is_superuser or account.is_staff) and not _is_operator(request)


class PowersAdmin(GroupAdmin):
    """What groups may do is for operators to say: anybody else could be in one."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_operator(request)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return _is_operator(request)

    has_delete_permission = has_change_permission


admin.site.login_form = AdminLogInForm
admin.site.unregister(User)
admin.site.register(User, AccountAdmin)
admin.site.unregister(Group)
admin.site.register(Group, PowersAdmin)


@admin.register(ApiKey)
class ApiKeyAdmin(TellsOfChanges, SavesWhatWasEdited):
    tell = staticmethod(invalidation.keys_changed)
    list_display = ["id", "name", "user", "created", "last_used", "expires_at", "revoked_at"]
    list_select_related = ["user"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    search_fields = ["=id", "name", "=user__username"]
    raw_id_fields = ["user"]
    fields = ("id", "name", "user", "expires_at", "created", "last_used", "revoked_at")
    readonly_fields = ("id", "created", "last_used", "revoked_at")
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return self.fields if obj else ("name", "user", "expires_at")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "user") if obj else ()

    def save_model(self, request: HttpRequest, obj: ApiKey, form: "ModelForm[ApiKey]", change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made = keys.create_key(obj.user, obj.name, expires_at=obj.expires_at)
        obj.__dict__.update(made.key.__dict__)
        request.new_token = made.token  # type: ignore[attr-defined]  # for the answer to this request alone

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: Any = None) -> HttpResponse:
        """The one page that shows the token. It is answered at once: a redirect would have to keep it."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "A new API key",
            "key": obj,
            "token": request.new_token,  # type: ignore[attr-defined]
        }
        return TemplateResponse(
            request, "admin/yapit/apikey/created.html", context, headers={"Cache-Control": "no-store"}
        )

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            keys.revoke(key)
        self.message_user(request, "Revoked.", messages.SUCCESS)
