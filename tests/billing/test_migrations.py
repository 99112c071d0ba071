"""Migrations of a filled database: balances, periods and ledger are carried over, forwards and backwards."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from billing.models import Balance, LedgerEntry, Plan, UsagePeriod
from billing.periods import month_of
from billing.plans import balances, renewal
from billing.plans.allowance import allowance
from billing.usage.checks import check
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from tests.billing.usage_events import make_account, make_event, milliseconds

pytestmark = pytest.mark.django_db(transaction=True)

COLUMNS = "0004_plans_and_past_usage"  # the last state with balances in columns of the subscription
NOW = timezone.now()
LAST_MONTH = month_of(month_of(NOW).start - timedelta(days=1))
BY = {"reason": "a mistake of ours", "operator": "ada"}
OLD_LEDGER = (
    "event_id, kind, user_id, characters, multiplier_bp, cost, from_subscription, from_rollover,"
    " from_purchased, to_debt, usage_type, model, voice, document, duration_ms, hash, reason, operator,"
    " occurred_at, recorded_at"
)
OLD_PERIODS = (
    'id, user_id, usage_type, start, "end", "limit", used, total, closed_at, rollover_before, carried'
)


def migrate(name=None):
    """Migrate billing to this state; without a name, to the newest."""
    executor = MigrationExecutor(connection)
    newest = [key for key in executor.loader.graph.leaf_nodes() if key[0] == "billing"]
    executor.migrate([("billing", name)] if name else newest)


def rows(query, *values):
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def schema():
    yield
    migrate()


@pytest.fixture
def filled(redis, schema):
    """Accounts with rest, gifts, debt, rollover, a plan, no limit, and one that is gone."""
    rich = make_account(standard_limit=1000, premium_limit=300)
    indebted = make_account(standard_limit=20, premium_limit=50)
    unlimited = make_account(standard_limit=None, premium_limit=None, ocr_limit=None)
    with_plan = make_account(standard_limit=0, premium_limit=0)
    plan, _ = Plan.objects.update_or_create(
        slug="basic",
        defaults={"name": "Basic", "standard_limit": None, "premium_limit": 70, "ocr_limit": 900},
    )
    balances.assign(with_plan, plan)
    gone = make_account(standard_limit=5)
    renewal.close_ended(LAST_MONTH.start)
    for user_id in (rich, indebted, unlimited, with_plan, gone):
        for kind in ("standard", "premium"):
            charge(redis, user_id, 40, kind, LAST_MONTH.end - timedelta(hours=1))
            charge(redis, user_id, 60, kind, NOW)
    renewal.close_ended(NOW)
    charge(redis, rich, 11, "premium", LAST_MONTH.end - timedelta(hours=2))  # late
    balances.grant(rich, UsageType.PREMIUM, 500, **BY)
    balances.correct(unlimited, UsageType.STANDARD, 12, **BY)
    get_user_model().objects.get(pk=gone).delete()
    assert check(redis).findings == []
    return rich, indebted, unlimited, with_plan


def charge(redis, user_id, characters, usage_type, at):
    event = make_event(user_id, characters, usage_type=usage_type, at=at)
    redis.zadd("finished", {event.id: milliseconds(event.occurred_at)})
    record_usage([event])


def test_a_filled_database_is_carried_back_and_forth(filled, redis):
    before = {(row.user_id, row.usage_type): (row.limit, *row.pools) for row in Balance.objects.all()}
    allowances = [allowance(user_id, kind) for user_id in filled for kind in UsageType]
    ledger, periods = rows(f"SELECT {OLD_LEDGER} FROM billing_ledgerentry ORDER BY id"), speech_periods()
    assert {kind for kind, _ in periods} == {"standard", "premium"}
    assert any(rollover > 0 for _, rollover, _ in before.values())
    assert any(rollover < 0 for _, rollover, _ in before.values())

    migrate(COLUMNS)
    columns = rows(
        "SELECT user_id, standard_limit, standard_rollover, standard_purchased,"
        " premium_limit, premium_rollover, premium_purchased FROM billing_subscription"
    )
    assert {user_id for user_id, *_ in columns} == set(filled)
    for user_id, *values in columns:
        assert tuple(values) == before[user_id, "standard"] + before[user_id, "premium"]
    assert differences_of_columns() == []

    migrate()
    after = {(row.user_id, row.usage_type): (row.limit, *row.pools) for row in Balance.objects.all()}
    assert after == {key: values for key, values in before.items() if key[0] in filled}
    assert rows(f"SELECT {OLD_LEDGER} FROM billing_ledgerentry ORDER BY id") == ledger
    assert speech_periods() == periods
    assert [allowance(user_id, kind) for user_id in filled for kind in UsageType] == allowances
    assert check(redis).findings == []


def test_what_the_earlier_version_wrote_is_carried_over(filled, redis):
    rich, *_ = filled
    migrate(COLUMNS)
    new = get_user_model().objects.create(username="made-by-the-earlier-version").pk
    rows(
        "INSERT INTO billing_subscription (user_id, standard_limit, premium_limit, standard_rollover,"
        " premium_rollover, standard_purchased, premium_purchased) VALUES (%s, 0, NULL, -30, 4, 0, 5)",
        new,
    )
    rows("UPDATE billing_subscription SET premium_purchased = premium_purchased + 9 WHERE user_id = %s", rich)
    for user_id, kind, rollover, purchased, debt in (
        (new, "standard", 0, 0, 30),
        (new, "premium", -4, -5, 0),
        (rich, "premium", 0, -9, 0),
    ):
        rows(
            f"INSERT INTO billing_ledgerentry ({OLD_LEDGER}) VALUES (gen_random_uuid()::text, 'correction',"
            " %s, 0, 0, %s, 0, %s, %s, %s, %s, '', '', NULL, 0, '', 'by hand', 'ada', now(), now())",
            *(user_id, rollover + purchased + debt, rollover, purchased, debt, kind),
        )
    period = rows(
        'INSERT INTO billing_usageperiod (user_id, usage_type, start, "end", "limit", used, total,'
        " rollover_before, carried) VALUES (%s, 'premium', %s, %s, NULL, 0, 0, 0, 0) RETURNING id",
        *(new, month_of(NOW).start, month_of(NOW).end),
    )
    assert differences_of_columns() == []

    migrate()

    kept = Balance.objects.filter(user_id=new).order_by("usage_type")
    assert list(kept.values_list("usage_type", "limit", "rollover", "purchased")) == [
        ("ocr", 0, 0, 0),
        ("premium", None, 4, 5),
        ("standard", 0, -30, 0),
    ]
    assert UsagePeriod.objects.get(pk=period[0][0]).source == "calendar"
    assert check(redis).findings == []


def test_limits_of_ocr_come_from_the_plan(filled):
    _, _, unlimited, with_plan = filled
    migrate(COLUMNS)
    migrate()

    limits = dict(Balance.objects.filter(usage_type="ocr").values_list("user_id", "limit"))
    assert (limits[with_plan], limits[unlimited], limits[filled[0]]) == (900, None, 0)


def test_rollover_of_ocr_is_taken_up_again_and_its_periods_are_opened_again(filled, redis):
    *_, with_plan = filled
    balances.grant(with_plan, UsageType.OCR, 50, **BY)
    assert UsagePeriod.objects.filter(usage_type="ocr").exists()

    migrate(COLUMNS)
    assert not rows("SELECT FROM billing_usageperiod WHERE usage_type = 'ocr'")
    migrate()
    renewal.close_ended()

    assert allowance(with_plan, "ocr").characters == 900 + 900 + 50
    assert check(redis).findings == []


def test_there_is_no_way_back_once_ocr_was_charged(filled, redis):
    *_, with_plan = filled
    charge(redis, with_plan, 5, "ocr", NOW)

    with pytest.raises(Exception, match="OCR tokens have been charged"):
        migrate(COLUMNS)

    assert allowance(with_plan, "ocr").used == 5
    assert check(redis).findings == []


def test_neither_the_ledger_nor_its_indexes_are_rewritten(filled):
    migrate(COLUMNS)
    files = "SELECT relname, relfilenode FROM pg_class WHERE relname ~ '^(billing_ledgerentry$|ledger_)'"
    before = dict(rows(files))

    migrate()

    after = dict(rows(files))
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {"ledger_operation_once"}
    not_valid = "SELECT conname FROM pg_constraint WHERE NOT convalidated AND conname ~ '^ledger'"
    assert rows(not_valid) == []


def speech_periods():
    return rows(
        f"SELECT usage_type, ROW({OLD_PERIODS})::text FROM billing_usageperiod"
        " WHERE usage_type <> 'ocr' ORDER BY id"
    )


def differences_of_columns():
    """Accounts whose columns differ from the sums of the ledger, as `check_ledger` compared them."""
    return rows(
        """
        SELECT s.* FROM billing_subscription s, LATERAL (
            SELECT coalesce(-sum(from_rollover + to_debt) FILTER (WHERE usage_type = 'standard'), 0),
                coalesce(-sum(from_purchased) FILTER (WHERE usage_type = 'standard'), 0),
                coalesce(-sum(from_rollover + to_debt) FILTER (WHERE usage_type = 'premium'), 0),
                coalesce(-sum(from_purchased) FILTER (WHERE usage_type = 'premium'), 0)
            FROM billing_ledgerentry WHERE user_id = s.user_id
        ) AS l (standard_rollover, standard_purchased, premium_rollover, premium_purchased)
        WHERE (s.standard_rollover, s.standard_purchased, s.premium_rollover, s.premium_purchased) IS DISTINCT
            FROM (l.standard_rollover, l.standard_purchased, l.premium_rollover, l.premium_purchased)
        """
    )


def test_the_ledger_has_entries_of_each_kind_that_the_earlier_version_wrote(filled):
    """A control: the tests above would pass on an empty database."""
    assert set(LedgerEntry.objects.values_list("kind", flat=True)) == {
        "usage",
        "grant",
        "correction",
        "rollover",
    }
