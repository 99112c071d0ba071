"""Consistency checks of the ledger, and the `check_ledger` command."""

import threading
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from billing.models import Balance, LedgerEntry, UsageDay, UsagePeriod, VoiceMonth
from billing.plans import balances, renewal
from billing.plans.allowance import allowance
from billing.usage.checks import check, check_recent
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from tests.billing.usage_events import make_account, make_event, make_fields, milliseconds
from yapit.deletion import account_deletion

pytestmark = pytest.mark.django_db

BY = {"reason": "a mistake of ours", "operator": "ada"}


@pytest.fixture
def account(redis):
    """An account with usage, a gift and a correction, and without differences."""
    user_id = make_account(premium_limit=100)
    for chars in (10, 60, 70):
        finish(redis, event := make_event(user_id, chars, usage_type="premium"))
        record_usage([event])
    balances.grant(user_id, UsageType.PREMIUM, 500, **BY)
    balances.correct(user_id, UsageType.PREMIUM, -7, **BY)
    return user_id


def finish(redis, event) -> None:
    redis.zadd("finished", {event.id: milliseconds(event.occurred_at)})


def found(redis, **options) -> list[str]:
    return [f"{finding.kind} {finding.what}" for finding in check(redis, **options).findings]


def test_a_consistent_ledger_has_no_findings(redis, account):
    assert found(redis) == found(redis, user_id=account) == []
    assert check(redis).events == 3


def test_a_finished_event_without_an_entry_is_missing(redis, account):
    finish(redis, make_event(account, id="forgotten"))

    [finding] = check(redis).findings

    assert str(finding) == "missing: event forgotten: finished, and not charged"


def test_an_event_in_the_stream_is_pending(redis, account):
    fields = make_fields(account, id="on-its-way")
    finish(redis, make_event(account, id="on-its-way"))
    redis.xadd("billing", fields)

    report = check(redis)

    assert (report.findings, report.pending) == ([], 1)


def test_a_dead_letter_is_listed(redis, account):
    finish(redis, make_event(account, id="refused"))
    redis.xadd("dead:billing", make_fields(account, id="refused"))

    report = check(redis)

    assert (report.findings, report.dead_letters) == ([], ["refused"])


def test_an_entry_without_a_finished_job_is_extra(redis, account):
    record_usage([make_event(account, id="made-up", at=timezone.now() - timedelta(seconds=5))])

    assert found(redis) == found(redis, user_id=account) == ["extra event"]


def test_an_entry_at_another_time_than_the_end_of_its_job_is_different(redis, account):
    event = make_event(account, at=timezone.now() - timedelta(hours=1))
    record_usage([event])
    redis.zadd("finished", {event.id: milliseconds(event.occurred_at) + 1})

    assert found(redis) == ["different event"]


@pytest.mark.parametrize(
    ("model", "column", "what"),
    [
        (UsagePeriod, "used", "period"),
        (UsagePeriod, "total", "period"),
        (UsageDay, "cost", "day"),
        (VoiceMonth, "duration_ms", "voice statistics"),
        (Balance, "purchased", "balance"),
    ],
)
def test_a_counter_other_than_the_sum_of_the_ledger_is_different(redis, account, model, column, what):
    changed = model.objects.filter(user_id=account).update(**{column: 1})

    expected = [f"different {what}"] * changed
    assert found(redis) == found(redis, user_id=account) == expected
    assert found(redis, since=timezone.now() - timedelta(minutes=1)) == expected


@pytest.mark.parametrize(("model", "what"), [(UsageDay, "day"), (VoiceMonth, "voice statistics")])
def test_deleted_sums_are_missing_and_sums_without_entries_are_extra(redis, account, model, what):
    row = model.objects.get()
    row.pk, row.voice = None, "unused"
    row.save(force_insert=True)
    model.objects.exclude(voice="unused").delete()

    assert sorted(found(redis)) == [f"extra {what}", f"missing {what}"]


def test_usage_without_a_period_is_found(redis, account):
    UsagePeriod.objects.all().delete()

    assert found(redis) == ["missing period of event"] * 3


def test_a_check_of_one_account_ignores_the_others(redis, account):
    other = make_account(premium_limit=100)
    Balance.objects.filter(user_id=other, usage_type="premium").update(purchased=5)

    assert found(redis, user_id=account) == []
    assert found(redis, user_id=other) == ["different balance"]


def test_the_command_exits_with_1_if_there_are_findings(redis, account):
    out = StringIO()
    call_command("check_ledger", stdout=out)
    assert "3 finished events compared; 0 findings, 0 pending, 0 dead letters." in out.getvalue()

    UsageDay.objects.all().delete()
    with pytest.raises(SystemExit) as exit_:
        call_command("check_ledger", "--user", str(account), "--since", "2026-01-01", stdout=out)

    assert exit_.value.code == 1
    assert "missing: day" in out.getvalue()


def test_recent_accounts_are_checked_while_billing_runs(redis, account, caplog):
    check_recent(redis)
    assert not caplog.records

    UsagePeriod.objects.filter(user_id=account).update(used=1)
    check_recent(redis)

    assert "the ledger and its sums differ" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_the_ledger_of_a_deleted_account_stays_consistent(redis, account):
    """Also when usage is charged after the deletion, and when months end."""
    account_deletion.delete_account(account)
    finish(redis, event := make_event(account, 30, usage_type="premium"))
    record_usage([event])

    renewal.close_ended(timezone.now() + timedelta(days=70))

    assert found(redis) == found(redis, user_id=account) == []
    assert allowance(account, "premium").limit == 0
    assert not LedgerEntry.objects.filter(user_id=account, kind="rollover").exists()


@pytest.mark.django_db(transaction=True)
def test_all_sums_are_read_from_one_snapshot(redis, account):
    with connection.execute_wrapper(charging_in_between(account)):
        assert check(redis, since=datetime(2026, 1, 1, tzinfo=UTC)).findings == []
    assert LedgerEntry.objects.filter(event_id="in-between").exists()


def charging_in_between(user_id: int):
    """A query wrapper that charges in another connection after the first sum."""
    done = []

    def wrapper(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "GROUP BY p.id" in sql and not done:
            done.append(True)
            thread = threading.Thread(target=charge)
            thread.start()
            thread.join()
        return result

    def charge() -> None:
        try:
            record_usage([make_event(user_id, 10, id="in-between")])
        finally:
            connection.close()

    return wrapper
