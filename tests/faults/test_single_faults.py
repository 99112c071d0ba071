"""One kind of fault at a time, under the load and the invariants of the drill."""

import os
import random
import signal
import threading

import psycopg
import pytest
import redis

from tests.faults.clients import HARMLESS
from tests.faults.drill import ROLES
from tests.faults.invariants import EXCUSED_AFTER_DATA_LOSS
from tests.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.faults

EAGER_ROLES = {
    **ROLES,
    "results-0": ("tests.faults.eager_results:results", "0"),
    "results-1": ("tests.faults.eager_results:results", "1"),
}


@pytest.fixture
def stack(tmp_path):
    stack = Stack(tmp_path, "")
    stack.start_valkey()
    yield stack
    stack.close()


def test_a_killed_valkey_keeps_acknowledged_writes(stack):
    for _ in range(4):
        with stack.redis as client:
            before = client.xlen("log")
        acknowledged = write_until_killed(stack)

        stack.start_valkey()

        with stack.redis as client:
            assert client.xlen("log") >= before + acknowledged


def write_until_killed(stack) -> int:
    """Returns the number of acknowledged entries."""
    count = 0
    client = stack.redis
    killer = threading.Timer(0.5, stack.kill_valkey)
    killer.start()
    try:
        while True:
            client.xadd("log", {"payload": bytes(1000)})
            count += 1
    except redis.ConnectionError:
        killer.join()
        return count
    finally:
        client.close()


def test_after_a_loss_of_all_data_in_redis_every_request_ends(drill):
    with drill(seconds=6) as running, running.stack.redis as client:
        for _ in range(3):
            running.watch(1.5)
            with running.losing_state():
                client.flushall()

        assert running.end(without=EXCUSED_AFTER_DATA_LOSS).violations == [], str(running.report)


def test_a_truncated_append_only_file_leaves_no_half_finished_job(drill, seed):
    sizes = random.Random(seed)
    with drill(seconds=10) as running:
        for _ in range(6):
            running.watch(1.0)
            with running.losing_state():
                running.stack.kill_valkey()
                truncate(running.stack, sizes.randint(1, 50_000))
                running.stack.start_valkey()

        assert running.end(without=EXCUSED_AFTER_DATA_LOSS).violations == [], str(running.report)


def truncate(stack, count: int) -> None:
    """As a power failure would: the last bytes did not reach the disk."""
    log = max(stack.valkey.folder.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime)
    with log.open("r+b") as file:
        file.truncate(max(0, log.stat().st_size - count))


def test_entries_of_a_stopped_results_consumer_are_claimed_by_another(drill):
    """The stopped one continues with entries that were finished meanwhile, and nothing happens twice."""
    with drill(EAGER_ROLES, seconds=8, rate=60) as running, running.stack.redis as client:
        for name in ("results-0", "results-1"):
            running.watch(1.0)
            stop_until_another_has_its_entries(running, client, name)

        assert running.end().violations == [], str(running.report)


def stop_until_another_has_its_entries(running, client, name) -> None:
    stop_with_entries(running, client, name)
    wait_until(lambda: running.watch(0.1) or held_by(client, name) == 0)
    running.forkserver.send(name, signal.SIGCONT)


def stop_with_entries(running, client, name) -> None:
    """Stopped while it blocks in a read, it is still given entries; at other moments it is not: retry."""
    for _ in range(20):
        running.forkserver.send(name, signal.SIGSTOP)
        running.watch(0.5)
        if held_by(client, name):
            return
        running.forkserver.send(name, signal.SIGCONT)
        running.watch(0.1)
    raise AssertionError(f"{name} was given no entries")


def held_by(client, name) -> int:
    consumers = client.xpending("results", "results")["consumers"]
    return sum(consumer["pending"] for consumer in consumers if consumer["name"] == name.encode())


def test_billing_survives_terminated_database_connections(drill):
    ended = 0
    with drill(seconds=6) as running, psycopg.connect(running.database_url, autocommit=True) as database:
        for _ in range(20):
            running.watch(0.2)
            ended += end_other_connections(database)

        assert running.end().violations == [], str(running.report)
    assert ended > 0


def end_other_connections(database: psycopg.Connection) -> int:
    return len(
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    )


def test_all_processes_killed_at_once_resume(drill):
    with drill(seconds=6) as running:
        for _ in range(3):
            running.watch(1.5)
            running.stack.kill_valkey()
            for name in ROLES:
                running.forkserver.kill(name)
            running.stack.start_valkey()
            for name in ROLES:
                running.start(name)

        assert running.end().violations == [], str(running.report)


HOT = ("worker-0", "worker-1", "results-0", "results-1", "scheduler")
STOPPED_SECONDS = float(os.environ.get("DRILL_STOPPED_SECONDS", "5"))  # longer than a lease


def test_stopped_processes_continue(drill):
    with drill(seconds=6, kinds=HARMLESS) as running:
        running.watch(1.5)
        for name in HOT:
            running.forkserver.send(name, signal.SIGSTOP)
        running.watch(STOPPED_SECONDS)
        for name in HOT:
            running.forkserver.send(name, signal.SIGCONT)
        running.watch(1.5)

        assert running.end().violations == [], str(running.report)
        assert not set(HOT) & set(running.report.exits)


def test_no_process_ends_while_valkey_is_down_or_frozen(drill):
    with drill(seconds=6, kinds=HARMLESS) as running:
        running.watch(1.0)
        running.stack.kill_valkey()
        running.watch(2.0)
        running.stack.start_valkey()
        running.watch(1.0)
        os.kill(running.stack.valkey_process.pid, signal.SIGSTOP)
        running.watch(3.0)
        os.kill(running.stack.valkey_process.pid, signal.SIGCONT)
        running.watch(1.0)

        assert running.end().violations == [], str(running.report)
        assert not running.report.exits


def test_no_process_ends_while_redis_is_full(drill):
    with drill(seconds=6, kinds=HARMLESS) as running, running.stack.redis as client:
        running.watch(1.5)
        before = client.config_get("maxmemory*")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        running.watch(3.0)
        for name in ("maxmemory", "maxmemory-policy"):  # in this order, or all that may be evicted would be
            client.config_set(name, before[name])

        assert running.end().violations == [], str(running.report)
        assert not running.report.exits
