"""run_billing as a process: killed between any two steps, stopped, disconnected from its database.

The child process replaces one function with a kill of itself, so that production code needs no hook.
"""

import contextlib
import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import override_settings

from billing.models import LedgerEntry, Subscription
from billing.usage.consumer import BillingHandler
from config.streams import StopFlag, StreamConsumer
from tests.billing.usage_events import make_account, publish, reserved, used
from tests.waiting import PROCESS_PATIENCE, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

RUN = """
import os, signal, sys
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
from billing.usage import consumer, ledger, locks
from config.streams import StreamConsumer
settings.BILLING_BATCH_HOOKS = []
def kill(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
{change}
call_command("run_billing", *sys.argv[1:])
"""

# Waits for the flag instead of the signal, which may be delivered to any thread of the process.
STOPPED_IN_HAND = """
import time
write = ledger.insert
def wait_to_be_stopped(rows):
    stop = signal.getsignal(signal.SIGTERM).__self__
    print("in hand", file=sys.stderr, flush=True)
    while not stop.is_set:
        time.sleep(0.01)
    write(rows)
ledger.insert = wait_to_be_stopped
"""
ACKNOWLEDGED_FIRST = """
def handle(self, batch):
    StreamConsumer(self).acknowledge(batch.entries)
    kill()
consumer.BillingHandler.handle = handle
"""
ACKNOWLEDGED_IN_PART = """
acknowledge = StreamConsumer.acknowledge
def acknowledge_one(self, entries):
    acknowledge(self, entries[:1])
    kill()
StreamConsumer.acknowledge = acknowledge_one
"""
KILLED = {
    "before the charge": "consumer.charge_batch = kill",
    "within the transaction": "ledger.write_counters = kill",
    "between commit and acknowledgement": "StreamConsumer.acknowledge = kill",
}


@pytest.mark.parametrize("change", KILLED.values(), ids=KILLED.keys())
def test_after_a_kill_at_any_step_each_event_is_charged_once(redis, change):
    user_id = make_account()
    for _ in range(3):
        publish(redis, user_id, 10)
    with billing_process("--drain", change=change) as killed:
        assert killed.wait(PROCESS_PATIENCE) == -signal.SIGKILL
    assert redis.xpending("billing", "billing")["pending"] == 3

    drain_as_successor(redis)

    assert used(user_id) == 30
    assert LedgerEntry.objects.count() == 3
    assert redis.xlen("billing") == 0
    assert reserved(redis, user_id) == {}


def test_acknowledging_before_the_charge_loses_usage_in_a_kill(redis):
    """Shows that the test above can fail: without it, its passing would prove nothing."""
    user_id = make_account(standard_used=0)
    publish(redis, user_id, 10)
    with billing_process("--drain", change=ACKNOWLEDGED_FIRST) as killed:
        killed.wait(PROCESS_PATIENCE)

    drain_as_successor(redis)

    assert used(user_id) == 0


def test_a_kill_during_the_acknowledgement_releases_each_reservation_once(redis):
    """Some entries of the batch were acknowledged, the others were not."""
    user_id = make_account()
    for _ in range(3):
        publish(redis, user_id, 10)
    with billing_process("--drain", change=ACKNOWLEDGED_IN_PART) as killed:
        killed.wait(PROCESS_PATIENCE)
    assert reserved(redis, user_id) == {b"standard": b"20"}

    drain_as_successor(redis)

    assert used(user_id) == 30
    assert reserved(redis, user_id) == {}


def test_sigterm_finishes_the_batch_in_hand(redis):
    publish(redis, user_id := make_account(standard_used=0), 10)
    with billing_process(change=STOPPED_IN_HAND) as billing:
        assert b"in hand" in billing.stderr.readline()
        billing.terminate()

        assert billing.wait(PROCESS_PATIENCE) == 0

    assert used(user_id) == 10
    assert redis.xlen("billing") == 0


def test_sigterm_leaves_locked_accounts_to_the_next_process(redis):
    publish(redis, user_id := make_account(standard_used=0), 10)
    publish(redis, other := make_account(standard_used=0), 10)
    with row_held(user_id), billing_process() as billing:
        wait_until(lambda: used(other) == 10)
        billing.terminate()

        assert billing.wait(PROCESS_PATIENCE) == 0
    assert used(user_id) == 0

    drain_as_successor(redis)

    assert used(user_id) == 10


def test_sigterm_ends_an_idle_process(redis):
    with billing_process() as billing:
        wait_until(lambda: redis.exists("billing") and redis.xinfo_groups("billing"))
        billing.terminate()

        assert billing.wait(PROCESS_PATIENCE) == 0


def test_billing_resumes_after_its_database_connection_was_killed(redis):
    publish(redis, user_id := make_account(standard_used=0), 10)
    with billing_process("--drain") as billing:
        with ledger_held():
            wait_until(is_lock_awaited)
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT pg_terminate_backend(pid) FROM {WAITING}")

        assert billing.wait(PROCESS_PATIENCE) == 0

    assert used(user_id) == 10
    assert LedgerEntry.objects.count() == 1


def test_a_locked_account_delays_no_other_and_is_charged_once_it_is_unlocked(redis):
    locked, other = make_account(standard_used=0), make_account(standard_used=0)
    for _ in range(3):
        publish(redis, locked, 10)
        publish(redis, other, 10)
    with billing_process("--drain") as billing:
        with row_held(locked):
            wait_until(lambda: used(other) == 30)
            publish(redis, other, 10)
            wait_until(lambda: used(other) == 40)
            assert used(locked) == 0

        assert billing.wait(PROCESS_PATIENCE) == 0

    assert used(locked) == 30
    assert redis.xlen("billing") == 0


def test_a_locked_ledger_delays_all_charges_and_loses_none(redis):
    publish(redis, user_id := make_account(standard_used=0), 10)
    with billing_process("--drain", change="locks.LOCK_TIMEOUT = '50ms'") as billing:
        with ledger_held():
            wait_until(is_lock_awaited)
            wait_until(lambda: not is_lock_awaited())

        assert billing.wait(PROCESS_PATIENCE) == 0

    assert used(user_id) == 10


def test_after_a_kill_pending_entries_are_charged_before_new_ones(redis):
    user_id = make_account()
    publish(redis, user_id, 1)
    with billing_process("--drain", change=KILLED["before the charge"]) as killed:
        killed.wait(PROCESS_PATIENCE)
    publish(redis, user_id, 2)

    drain_as_successor(redis)

    assert list(LedgerEntry.objects.order_by("pk").values_list("cost", flat=True)) == [1, 2]


# Not pg_stat_activity, whose contents do not change within a transaction.
WAITING = "pg_locks WHERE NOT granted"


def drain_as_successor(redis) -> None:
    with override_settings(BILLING_BATCH_HOOKS=[]):
        StreamConsumer(BillingHandler(), redis).run(StopFlag(), drain=True)


def is_lock_awaited() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {WAITING}")
        return cursor.fetchone()[0] > 0


@contextlib.contextmanager
def row_held(user_id: int):
    with transaction.atomic():
        Subscription.objects.select_for_update().get(user_id=user_id)
        yield


@contextlib.contextmanager
def ledger_held():
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE billing_ledgerentry IN EXCLUSIVE MODE")
        yield


@contextlib.contextmanager
def billing_process(*arguments: str, change: str = ""):
    """Run `manage.py run_billing` on the database and Valkey of the test, until the block ends."""
    database = urlsplit(settings.DATABASE_URL)._replace(path=f"/{connection.settings_dict['NAME']}")
    environment = os.environ | {
        "DATABASE_URL": database.geturl(),
        "REDIS_URL": settings.REDIS_URL,
        "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
    }
    process = subprocess.Popen(
        [sys.executable, "-c", RUN.format(change=change), *arguments], env=environment, stderr=subprocess.PIPE
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
