"""Admin pages of the ledger, usage and subscriptions."""

import csv
import io

import pytest
from channels.db import database_sync_to_async
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connections
from django.urls import path, reverse
from django.utils import timezone

from billing.models import LedgerEntry, Plan, Subscription
from billing.plans.allowance import allowance
from billing.reports import ledger_csv
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from config.admin import BoundedPaginator
from tests.billing.usage_events import balance_of, make_account, make_event

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


def test_the_ledger_is_read_only(admin_client, two_accounts):
    entry = LedgerEntry.objects.first()
    page = reverse("admin:billing_ledgerentry_change", args=[entry.pk])

    assert admin_client.get(page).status_code == 200
    assert admin_client.post(page, {"cost": 0}).status_code == 403
    assert admin_client.get(reverse("admin:billing_ledgerentry_add")).status_code == 403
    assert admin_client.post(reverse("admin:billing_ledgerentry_delete", args=[entry.pk])).status_code == 403


@pytest.mark.parametrize(
    ("term", "count"), [("of-first", 1), ("", 2), ("unknown", 0), ("9" * 40, 0), ("²", 0)]
)
def test_the_ledger_is_searched_by_whole_terms(admin_client, two_accounts, term, count):
    assert len(listed(admin_client.get(reverse(LEDGER), {"q": term}))) == count


def test_the_ledger_of_one_account_is_found_by_number_and_by_name(admin_client, two_accounts):
    name = Subscription.objects.get(user_id=two_accounts[0]).user.username

    for term in (str(two_accounts[0]), name):
        assert listed(admin_client.get(reverse(LEDGER), {"q": term})) == ["of-first"]


def test_the_paginator_counts_a_bounded_number_of_rows(django_assert_num_queries):
    with django_assert_num_queries(1) as statements:
        assert BoundedPaginator(LedgerEntry.objects.all(), 100).count == 0

    assert f"LIMIT {BoundedPaginator.counted_rows}" in statements[0]["sql"]


def test_setting_limits_keeps_columns_that_changed_meanwhile(admin_client):
    user_id = make_account(standard_used=5, premium_purchased=7)
    subscription = Subscription.objects.get(user_id=user_id)
    page = reverse("admin:billing_subscription_change", args=[subscription.pk])

    response = admin_client.post(
        page,
        {"plan": "", "standard_limit": 100, "premium_limit": "", "ocr_limit": 0, "premium_purchased": 0},
    )

    assert response.status_code == 302
    assert (balance_of(user_id, "standard").limit, balance_of(user_id, "premium").purchased) == (100, 7)
    assert allowance(user_id, "standard").characters == 95


def test_assigning_a_plan_sets_its_limits(admin_client):
    user_id = make_account(standard_limit=5)
    subscription = Subscription.objects.get(user_id=user_id)
    plan, _ = Plan.objects.get_or_create(slug="voice", defaults={"name": "Voice", "premium_limit": 0})
    page = reverse("admin:billing_subscription_change", args=[subscription.pk])

    admin_client.post(page, {"plan": plan.pk, "standard_limit": 5, "premium_limit": "", "ocr_limit": 0})

    subscription.refresh_from_db()
    assert subscription.plan == plan
    assert [balance_of(user_id, kind).limit for kind in UsageType] == [None, 0, plan.ocr_limit]


def act(admin_client, action: str, user_ids, **values):
    subscriptions = Subscription.objects.filter(user_id__in=user_ids).values_list("pk", flat=True)
    form = {"action": action, "_selected_action": list(subscriptions), **values}
    return admin_client.post(reverse("admin:billing_subscription_changelist"), form)


def test_characters_are_given_to_several_accounts_with_reason_and_operator(admin_client):
    accounts = [make_account(premium_limit=0) for _ in range(2)]

    form = act(admin_client, "give", accounts)
    values = {"confirmed": 1, "usage_type": "premium", "characters": 50, "reason": "an outage"}
    act(admin_client, "give", accounts, **values)

    assert b"Record in the ledger" in form.content
    assert [allowance(user_id, "premium").characters for user_id in accounts] == [50, 50]
    assert set(LedgerEntry.objects.values_list("reason", "operator")) == {("an outage", "admin")}


@pytest.mark.parametrize("faulty", [{"characters": 0}, {"characters": ""}, {"reason": ""}])
def test_a_correction_needs_an_amount_and_a_reason(admin_client, faulty):
    values = {"confirmed": 1, "usage_type": "premium", "characters": -5, "reason": "a mistake"}

    response = act(admin_client, "correct", [make_account(premium_limit=0)], **(values | faulty))

    assert b"errorlist" in response.content
    assert not LedgerEntry.objects.exists()


def test_filters_select_entries_and_totals(admin_client, two_accounts):
    record_usage([make_event(two_accounts[0], 7, id="of-heron", voice="heron", model="tone")])
    month = f"{timezone.now():%Y-%m}"

    for query, event_ids in (
        ({"voice": "heron"}, ["of-heron"]),
        ({"model": "tone"}, ["of-heron"]),
        ({"account": str(two_accounts[1])}, ["of-second"]),
        ({"account": str(two_accounts[0]), "month": month, "voice": "wren"}, ["of-first"]),
        ({"usage_type__exact": "premium"}, []),
        ({"month": "2001-01"}, []),
    ):
        response = admin_client.get(reverse(LEDGER), query)
        assert listed(response) == event_ids
        assert (response.context["totals"]["events"] or 0) == len(event_ids)
    assert (
        admin_client.get(reverse(LEDGER), {"account": str(two_accounts[0])}).context["exact"]["cost"] == 107
    )


@pytest.mark.parametrize(
    ("query", "is_exact"),
    [({}, False), ({"voice": "wren"}, False), ({"month": "ever"}, False), ({"month": "2026-01"}, True)],
)
def test_the_ledger_itself_is_summed_only_for_an_account_or_a_month(
    admin_client, two_accounts, query, is_exact
):
    assert bool(admin_client.get(reverse(LEDGER), query).context["exact"]) is is_exact


@pytest.mark.parametrize("page", ["usageday", "voicemonth", "usageperiod", "plan", "subscription"])
def test_the_other_pages_list_their_rows(admin_client, two_accounts, page):
    query = {"account": str(two_accounts[0])} if page.startswith(("usage", "voice")) else {}

    response = admin_client.get(reverse(f"admin:billing_{page}_changelist"), query)

    assert response.status_code == 200
    if query:
        assert len(response.context["cl"].result_list) == 1


@pytest.mark.django_db(transaction=True)
async def test_the_export_has_all_filtered_entries(async_client, monkeypatch):
    monkeypatch.setattr(ledger_csv, "PAGE", 2)
    await database_sync_to_async(log_in_with_usage)(async_client)

    response = await async_client.get(reverse("admin:billing_ledgerentry_export"), {"voice": "heron"})
    text = b"".join([part async for part in response.streaming_content]).decode()
    await database_sync_to_async(connections.close_all)()  # of the view's thread, which stays alive

    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["event_id"] for row in rows] == [f"heron-{number}" for number in range(5)]
    assert rows[0]["cost"] == "10"


def log_in_with_usage(client) -> None:
    client.force_login(get_user_model().objects.create_superuser("ada"))
    user_id = make_account()
    record_usage([make_event(user_id, 10, id=f"heron-{number}", voice="heron") for number in range(5)])
    record_usage([make_event(user_id, 10)])


def test_the_export_requires_the_view_permission(client, django_user_model):
    client.force_login(django_user_model.objects.create(username="eve", is_staff=True))

    assert client.get(reverse("admin:billing_ledgerentry_export")).status_code == 403
