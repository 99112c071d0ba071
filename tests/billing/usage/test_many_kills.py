"""Billing processes killed two hundred times at random points: each event is charged once."""

import os
import random
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from django.test import override_settings

from billing.models import LedgerEntry
from billing.usage.checks import check
from billing.usage.consumer import BillingHandler
from config.streams import StopFlag, StreamConsumer
from tests.billing.usage_events import make_account, publish, used

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

KILLS = 200
ACCOUNTS = 6
SEED = 20261121


def test_events_are_charged_once_by_processes_killed_at_random_points(redis):
    spent = spent_while_killing(redis, KILLS)

    assert {account: used(account, "premium") for account in spent} == spent
    assert LedgerEntry.objects.filter(kind="usage").count() == redis.zcard("finished")
    assert check(redis).findings == []
    assert not redis.keys("reserved:*")
    assert redis.xlen("billing") == redis.xpending("billing", "billing")["pending"] == 0
    assert not redis.exists("dead:billing")


def test_acknowledging_before_the_charge_loses_events_of_killed_processes(redis):
    """Shows that the test above can fail: without it, its passing would prove nothing."""
    spent = spent_while_killing(redis, 10, "naive")

    assert sum(used(account, "premium") for account in spent) < sum(spent.values())
    assert {finding.kind for finding in check(redis).findings} == {"missing"}


def spent_while_killing(redis, kills: int, order: str = "") -> dict[int, int]:
    """Characters published by account; everything that killed processes left is drained."""
    accounts = [make_account(premium_limit=500, premium_purchased=0) for _ in range(ACCOUNTS)]
    spent = dict.fromkeys(accounts, 0)
    stop = threading.Event()
    publisher = threading.Thread(target=publish_until, args=(stop, redis, spent))
    publisher.start()
    try:
        assert killed_billing_processes(kills, order) == kills
    finally:
        stop.set()
        publisher.join()
    with override_settings(BILLING_BATCH_HOOKS=[]):
        StreamConsumer(BillingHandler(), redis).run(StopFlag(), drain=True)
    return spent


def publish_until(stop: threading.Event, redis, spent: dict[int, int]) -> None:
    """Publish faster than the killed processes can charge; some entries twice."""
    chance = random.Random(SEED)
    while not stop.wait(0.02):
        if redis.xlen("billing") > 500:
            continue
        for _ in range(20):
            user_id, chars = chance.choice(list(spent)), chance.randint(1, 50)
            fields = publish(redis, user_id, chars, usage_type="premium")
            redis.zadd("finished", {fields[b"id"]: int(fields[b"created_ms"])})
            spent[user_id] += chars
            if chance.random() < 0.1:
                redis.xadd("billing", fields)


def killed_billing_processes(kills: int, order: str) -> int:
    database = urlsplit(settings.DATABASE_URL)._replace(path=f"/{connection.settings_dict['NAME']}")
    environment = os.environ | {
        "DATABASE_URL": database.geturl(),
        "REDIS_URL": settings.REDIS_URL,
        "LOG_LEVEL": "CRITICAL",
    }
    command = [sys.executable, "-m", "tests.billing.usage.forked_billing", str(kills), str(SEED), order]
    return int(
        subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=300).stdout
    )
