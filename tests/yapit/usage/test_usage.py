"""Usage of an account: API, CSV and page."""

import csv
import io
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from billing.periods import month_of
from billing.plans import balances
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from config.database.offload import offload
from tests.billing.usage_events import make_account, make_event
from yapit.accounts import identity
from yapit.accounts.keys import create_key
from yapit.documents import create_text

pytestmark = pytest.mark.django_db(transaction=True)

LAST_MONTH = month_of(month_of(timezone.now()).start - timedelta(days=1))


@pytest.fixture(autouse=True)
def _empty_caches():
    identity.forget()


@pytest.fixture
def account(redis, settings):
    settings.MULTI_USER = True
    user_id = make_account(premium_limit=100)
    user = get_user_model().objects.get(pk=user_id)
    title = create_text(user_id, "# A river").document
    record_usage(
        [
            make_event(user_id, 30, usage_type="premium", document=title.pk),
            make_event(user_id, 50, usage_type="premium", voice="heron", multiplier_bp=20_000),
            make_event(user_id, 7, document=""),
            make_event(user_id, 11, at=LAST_MONTH.start),
            make_event(make_account(), 999),
        ]
    )
    redis.hset(f"reserved:{user_id}", "premium", 5)
    return user


@pytest.fixture
def get(client, account):
    token = create_key(account, "test").token

    def get(path, **query):
        return client.get(path, query, headers={"Authorization": f"Bearer {token}"})

    return get


def test_the_month_is_grouped_by_voice_model_document_and_day(get):
    usage = get("/v1/usage").json()

    assert [(line["voice"], line["cost"]) for line in usage["by_voice"]] == [("heron", 100), ("wren", 37)]
    assert [(line["model"], line["cost"]) for line in usage["by_model"]] == [("hibari", 137)]
    assert [(line["title"], line["cost"]) for line in usage["by_document"]] == [
        (None, 100),
        ("A river", 30),
        (None, 7),
    ]
    assert sum(line["cost"] for line in usage["by_day"]) == 137


def test_balances_list_pending_usage_separately(get):
    standard, premium = get("/v1/usage").json()["balances"]

    assert (standard["limit"], standard["available"], standard["total"]) == (None, None, 7)
    assert (premium["limit"], premium["used"], premium["total"]) == (100, 100, 130)
    assert (premium["rollover"], premium["available"], premium["pending"]) == (-30, 0, 5)


def test_pending_usage_is_subtracted_from_the_available_characters(get, account):
    balances.grant(account.pk, UsageType.PREMIUM, 50, reason="kindness", operator="ada")

    _, premium = get("/v1/usage").json()["balances"]

    assert premium["available"] == 50 - 30 - 5


def test_another_month_has_its_own_totals_and_nothing_pending(get):
    usage = get("/v1/usage", period=f"{LAST_MONTH.start:%Y-%m}").json()

    assert [balance["total"] for balance in usage["balances"]] == [11, 0]
    assert usage["balances"][1]["pending"] == 0


@pytest.mark.parametrize("period", ["2026-13", "now", "0000-01", "2026-1"])
def test_an_invalid_month_is_refused(get, period):
    answer = get("/v1/usage", period=period)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "period"


def test_usage_requires_credentials(client, account):
    for path in ("/v1/usage", "/v1/usage.csv"):
        assert client.get(path, headers={"Host": "localhost"}).status_code == 401


async def test_the_csv_has_every_entry_and_no_formulas(async_client, account):
    await offload(record_usage, [make_event(account.pk, 3, voice="=1+1")])
    key = await offload(create_key, account, "test")

    answer = await async_client.get("/v1/usage.csv", headers={"Authorization": f"Bearer {key.token}"})
    text = b"".join([chunk async for chunk in answer.streaming_content]).decode()

    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted(row["cost"] for row in rows) == ["100", "3", "30", "7"]
    assert rows[-1]["voice"] == "'=1+1"
    assert answer["Content-Disposition"].startswith("attachment")


def test_the_page_shows_the_month_and_pending_usage(client, account):
    client.force_login(account)

    page = client.get("/usage/")

    text = page.content.decode()
    assert page.status_code == 200
    assert "5 more are pending" in text
    assert "A river" in text
    assert "default-src 'self'" in page["Content-Security-Policy"]


def test_the_page_of_a_future_month_is_not_found(client, account):
    client.force_login(account)

    assert client.get("/usage/", {"period": "2100-01"}).status_code == 404
    assert client.get("/usage/", {"period": "x"}).status_code == 404


def test_the_page_redirects_to_the_log_in(client, account):
    assert client.get("/usage/").headers["Location"] == "/login/?next=/usage/"
