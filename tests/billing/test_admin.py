"""Looking at usage and setting limits in the admin."""

import pytest
from django.contrib import admin
from django.urls import path, reverse

from billing.admin import COUNTED_ROWS, BoundedPaginator
from billing.allowance import allowance
from billing.models import LedgerEntry, Plan, Subscription
from billing.services import record_usage
from tests.billing.usage import make_account, make_event

urlpatterns = [path("admin/", admin.site.urls)]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

LEDGER = "admin:billing_ledgerentry_changelist"


def listed(response) -> list[str]:
    return [entry.event_id for entry in response.context["cl"].result_list]


@pytest.fixture
def two_accounts():
    first, second = make_account(), make_account()
    record_usage([make_event(first, id="of-first"), make_event(second, id="of-second")])
    return first, second


def test_the_ledger_can_be_looked_at_and_nothing_else(admin_client, two_accounts):
    entry = LedgerEntry.objects.first()
    page = reverse("admin:billing_ledgerentry_change", args=[entry.pk])

    assert admin_client.get(page).status_code == 200
    assert admin_client.post(page, {"cost": 0}).status_code == 403
    assert admin_client.get(reverse("admin:billing_ledgerentry_add")).status_code == 403
    assert admin_client.post(reverse("admin:billing_ledgerentry_delete", args=[entry.pk])).status_code == 403


@pytest.mark.parametrize(
    ("term", "found"), [("of-first", 1), ("", 2), ("nobody", 0), ("9" * 40, 0), ("²", 0)]
)
def test_the_ledger_is_searched_by_whole_terms(admin_client, two_accounts, term, found):
    assert len(listed(admin_client.get(reverse(LEDGER), {"q": term}))) == found


def test_the_ledger_of_one_account_is_found_by_number_and_by_name(admin_client, two_accounts):
    name = Subscription.objects.get(user_id=two_accounts[0]).user.username

    for term in (str(two_accounts[0]), name):
        assert listed(admin_client.get(reverse(LEDGER), {"q": term})) == ["of-first"]


def test_pages_are_counted_so_far_and_no_farther(django_assert_num_queries):
    with django_assert_num_queries(1) as statements:
        assert BoundedPaginator(LedgerEntry.objects.all(), 100).count == 0

    assert f"LIMIT {COUNTED_ROWS}" in statements[0]["sql"]


def test_limits_are_set_without_touching_what_changed_meanwhile(admin_client):
    user_id = make_account(standard_used=5, premium_purchased=7)
    subscription = Subscription.objects.get(user_id=user_id)
    page = reverse("admin:billing_subscription_change", args=[subscription.pk])

    response = admin_client.post(
        page, {"plan": "", "standard_limit": 100, "premium_limit": "", "premium_purchased": 0}
    )

    assert response.status_code == 302
    subscription.refresh_from_db()
    assert (subscription.standard_limit, subscription.premium_purchased) == (100, 7)
    assert allowance(user_id, "standard").characters == 95


def test_a_plan_brings_its_limits(admin_client):
    subscription = Subscription.objects.get(user_id=make_account(standard_limit=5))
    plan, _ = Plan.objects.get_or_create(slug="voice", defaults={"name": "Voice", "premium_limit": 0})
    page = reverse("admin:billing_subscription_change", args=[subscription.pk])

    admin_client.post(page, {"plan": plan.pk, "standard_limit": 5, "premium_limit": ""})

    subscription.refresh_from_db()
    assert (subscription.plan, subscription.standard_limit, subscription.premium_limit) == (plan, None, 0)
