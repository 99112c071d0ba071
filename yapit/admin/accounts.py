"""Admin of accounts, groups and API keys. A token is shown once, after creation."""

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
from yapit.admin.saving import InvalidatingAdmin, SaveChangedFields
from yapit.models import ApiKey, Preferences, Profile

# Fields that grant permissions; only superusers can change them.
PERMISSION_FIELDS = ("is_staff", "is_superuser", "groups", "user_permissions")


class ProfileInline(admin.StackedInline):  # type: ignore[type-arg]  # generic in the stubs only
    model = Profile


class PreferencesInline(admin.StackedInline):  # type: ignore[type-arg]
    model = Preferences


class AccountAdmin(InvalidatingAdmin, UserAdmin):  # type: ignore[type-arg]
    inlines = (ProfileInline, PreferencesInline)
    invalidate = staticmethod(invalidation.accounts_changed)
    actions = ("add_testers", "remove_testers")

    @admin.action(description="Give the tester role to selected accounts", permissions=["change"])
    def add_testers(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        roles.add_testers(queryset.values_list("pk", flat=True))
        self.message_user(request, "The accounts are testers now.", messages.SUCCESS)

    @admin.action(description="Remove the tester role from selected accounts", permissions=["change"])
    def remove_testers(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        roles.remove_testers(queryset.values_list("pk", flat=True))
        self.message_user(request, "The accounts are no longer testers.", messages.SUCCESS)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Staff with the change permission must not grant permissions, also not to themselves."""
        return super().get_readonly_fields(request, obj) if _is_superuser(request) else PERMISSION_FIELDS

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and not _outranks(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not _outranks(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: "ModelForm[User]", change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            ensure_subscriptions([obj.pk])

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return self.inlines if obj else ()  # shown after the account is created, as in Django's own UserAdmin


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _outranks(request: HttpRequest, account: User | None) -> bool:
    """Whether the account has more permissions: changing its password would give access to them."""
    return account is not None and (account.is_superuser or account.is_staff) and not _is_superuser(request)


class SuperuserGroupAdmin(GroupAdmin):
    """Groups are changed by superusers only: other staff could be members of a group that they extend."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return _is_superuser(request)

    has_delete_permission = has_change_permission


admin.site.login_form = AdminLogInForm
admin.site.unregister(User)
admin.site.register(User, AccountAdmin)
admin.site.unregister(Group)
admin.site.register(Group, SuperuserGroupAdmin)


@admin.register(ApiKey)
class ApiKeyAdmin(InvalidatingAdmin, SaveChangedFields):
    invalidate = staticmethod(invalidation.keys_changed)
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
        created = keys.create_key(obj.user, obj.name, expires_at=obj.expires_at)
        obj.__dict__.update(created.key.__dict__)
        request.new_token = created.token  # type: ignore[attr-defined]  # for the response to this request only

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: Any = None) -> HttpResponse:
        """Show the token in the response itself: a redirect would have to store it."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "New API key",
            "key": obj,
            "token": request.new_token,  # type: ignore[attr-defined]
        }
        return TemplateResponse(
            request, "admin/yapit/apikey/created.html", context, headers={"Cache-Control": "no-store"}
        )

    @admin.action(description="Revoke selected API keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            keys.revoke(key)
        self.message_user(request, "The API keys have been revoked.", messages.SUCCESS)
