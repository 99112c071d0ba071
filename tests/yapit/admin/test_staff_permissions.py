"""Permissions of staff without superuser status, on every page of the admin."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client, RequestFactory

from tests.yapit.factories import make_user
from yapit.accounts import keys
from yapit.accounts.identity import identify_key

pytestmark = pytest.mark.django_db(databases="__all__")  # the admin also has tables of audio files

MODELS = [model for model in apps.get_models() if admin.site.is_registered(model)]
TABLES = [f"{model._meta.app_label}/{model._meta.model_name}" for model in MODELS]


def make_staff(*verbs):
    """Staff with the permissions of these verbs on every table."""
    staff = make_user(is_staff=True)
    permissions = [each for each in Permission.objects.all() if each.codename.split("_")[0] in verbs]
    staff.user_permissions.set(permissions)
    return User.objects.get(pk=staff.pk)


def browser_of(user):
    browser = Client()
    browser.force_login(user)
    return browser


@pytest.mark.parametrize("table", TABLES)
def test_without_permission_no_table_is_shown(table):
    browser = browser_of(make_staff())

    for page in ("", "add/", "export/", "1/change/"):
        assert browser.get(f"/admin/{table}/{page}").status_code in (302, 403, 404)
        assert browser.post(f"/admin/{table}/{page}", {"action": "drop"}).status_code in (302, 403, 404)


def test_the_view_permission_offers_no_actions():
    request = RequestFactory().get("/")
    request.user = make_staff("view")

    offered = {
        model._meta.label: list(admin.site.get_model_admin(model).get_actions(request)) for model in MODELS
    }

    assert {label: actions for label, actions in offered.items() if actions} == {}


def test_the_view_permission_does_not_revoke_keys():
    made = keys.create_key(make_user(), "laptop")

    browser_of(make_staff("view")).post(
        "/admin/yapit/apikey/", {"action": "revoke", "_selected_action": [made.key.pk]}
    )

    assert identify_key(made.token)


def grant_all(browser, user):
    """Submit the form of the account with all permissions selected."""
    fields = {
        "username": user.username,
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        **dict.fromkeys(("is_active", "is_staff", "is_superuser"), "on"),
        "user_permissions": [permission.pk for permission in Permission.objects.all()],
        **{f"{kind}-{name}_FORMS": 0 for kind in ("profile", "preferences") for name in ("TOTAL", "INITIAL")},
    }
    answer = browser.post(f"/admin/auth/user/{user.pk}/change/", fields)
    return answer.status_code, User.objects.get(pk=user.pk).has_perm("yapit.delete_document")


def test_staff_cannot_extend_groups():
    """Staff could be members of the group."""
    staff = make_staff("view", "add", "change")
    group = Group.objects.create(name="helpers")
    staff.groups.add(group)
    fields = {"name": "helpers", "permissions": [permission.pk for permission in Permission.objects.all()]}

    browser_of(staff).post(f"/admin/auth/group/{group.pk}/change/", fields)

    assert not group.permissions.exists()


def test_staff_cannot_grant_permissions_to_accounts():
    staff, listener = make_staff("view", "change"), make_user()
    operator = User.objects.create_superuser("operator")

    assert grant_all(browser_of(staff), listener) == (302, False)
    assert grant_all(browser_of(staff), staff) == (403, False)
    assert grant_all(browser_of(operator), listener) == (302, True)


@pytest.mark.parametrize("is_superuser", [True, False])
def test_staff_cannot_change_accounts_with_more_permissions(is_superuser):
    above = make_user(is_staff=True, is_superuser=is_superuser)
    browser = browser_of(make_staff("view", "change", "delete"))
    new = {"password1": "battery staple 9", "password2": "battery staple 9", "usable_password": "true"}

    browser.post(f"/admin/auth/user/{above.pk}/password/", new)
    browser.post(f"/admin/auth/user/{above.pk}/delete/", {"post": "yes"})
    marked = {"action": "delete_selected", "_selected_action": [above.pk], "post": "yes"}
    browser.post("/admin/auth/user/", marked)

    assert User.objects.get(pk=above.pk).check_password("correct horse")


def test_staff_can_set_passwords_of_listeners():
    listener = make_user()
    new = {"password1": "battery staple 9", "password2": "battery staple 9", "usable_password": "true"}

    browser_of(make_staff("view", "change")).post(f"/admin/auth/user/{listener.pk}/password/", new)

    assert User.objects.get(pk=listener.pk).check_password("battery staple 9")
