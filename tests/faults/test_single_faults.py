"""One kind of trouble at a time, under the same load and the same invariants as the drill."""

import os
import random
import signal
import threading

import psycopg
import pytest
import redis

from tests.faults.drill import ROLES
from tests.faults.invariants import FORGIVEN
from tests.faults.listeners import HARMLESS
from tests.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.faults

IMPATIENT_ROLES = {
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


def test_a_killed_valkey_has_lost_no_write_that_it_acknowledged(stack):
    for _ in range(4):
        with stack.redis as client:
            before = client.xlen("log")
        acknowledged = write_until_it_dies(stack)

        stack.start_valkey()

        with stack.redis as client:
            assert client.xlen("log") >= before + acknowledged


def write_until_it_dies(stack) -> int:
    """How many entries it had confirmed when it was killed."""
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


def test_after_redis_was_emptied_everybody_hears_or_is_told_why(drill):
    with drill(seconds=6) as ours, ours.stack.redis as client:
        for _ in range(3):
            ours.watch(1.5)
            with ours.forgetting():
                client.flushall()

        assert ours.end(without=FORGIVEN).violations == [], str(ours.report)


def test_with_the_tail_of_its_log_cut_off_redis_holds_no_half_finished_job(drill, seed):
    cuts = random.Random(seed)
    with drill(seconds=10) as ours:
        for _ in range(6):
            ours.watch(1.0)
            with ours.forgetting():
                ours.stack.kill_valkey()
                cut(ours.stack, cuts.randint(1, 50_000))
                ours.stack.start_valkey()

        assert ours.end(without=FORGIVEN).violations == [], str(ours.report)


def cut(stack, count: int) -> None:
    """As a power failure would: the last bytes never reached the disk."""
    log = max(stack.valkey.folder.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime)
    with log.open("r+b") as file:
        file.truncate(max(0, log.stat().st_size - count))


def test_of_a_stopped_results_consumer_another_takes_over(drill):
    """What it holds when it goes on was finished meanwhile: nothing happens twice."""
    with drill(IMPATIENT_ROLES, seconds=8, rate=60) as ours, ours.stack.redis as client:
        for name in ("results-0", "results-1"):
            ours.watch(1.0)
            stop_until_another_has_its_entries(ours, client, name)

        assert ours.end().violations == [], str(ours.report)


def stop_until_another_has_its_entries(ours, client, name) -> None:
    stop_with_entries(ours, client, name)
    wait_until(lambda: ours.watch(0.1) or held_by(client, name) == 0)
    ours.nursery.send(name, signal.SIGCONT)


def stop_with_entries(ours, client, name) -> None:
    """Stopped while it waits for entries it is given some yet; at another moment none, so again."""
    for _ in range(20):
        ours.nursery.send(name, signal.SIGSTOP)
        ours.watch(0.5)
        if held_by(client, name):
            return
        ours.nursery.send(name, signal.SIGCONT)
        ours.watch(0.1)
    raise AssertionError(f"{name} was never given anything")


def held_by(client, name) -> int:
    consumers = client.xpending("results", "results")["consumers"]
    return sum(consumer["pending"] for consumer in consumers if consumer["name"] == name.encode())


def test_with_its_connections_cut_again_and_again_billing_loses_nothing(drill):
    ended = 0
    with drill(seconds=6) as ours, psycopg.connect(ours.database_url, autocommit=True) as database:
        for _ in range(20):
            ours.watch(0.2)
            ended += end_other_connections(database)

        assert ours.end().violations == [], str(ours.report)
    assert ended > 0


def end_other_connections(database: psycopg.Connection) -> int:
    return len(
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    )


def test_everything_killed_at_once_goes_on_where_it_was(drill):
    with drill(seconds=6) as ours:
        for _ in range(3):
            ours.watch(1.5)
            ours.stack.kill_valkey()
            for name in ROLES:
                ours.nursery.kill(name)
            ours.stack.start_valkey()
            for name in ROLES:
                ours.start(name)

        assert ours.end().violations == [], str(ours.report)


HOT = ("worker-0", "worker-1", "results-0", "results-1", "scheduler")
STOPPED_SECONDS = float(os.environ.get("DRILL_STOPPED_SECONDS", "5"))  # leases are over by then


def test_processes_that_were_stopped_for_a_while_go_on(drill):
    with drill(seconds=6, kinds=HARMLESS) as ours:
        ours.watch(1.5)
        for name in HOT:
            ours.nursery.send(name, signal.SIGSTOP)
        ours.watch(STOPPED_SECONDS)
        for name in HOT:
            ours.nursery.send(name, signal.SIGCONT)
        ours.watch(1.5)

        assert ours.end().violations == [], str(ours.report)
        assert not set(HOT) & set(ours.report.ended)


def test_nobody_ends_because_valkey_is_away_or_frozen(drill):
    with drill(seconds=6, kinds=HARMLESS) as ours:
        ours.watch(1.0)
        ours.stack.kill_valkey()
        ours.watch(2.0)
        ours.stack.start_valkey()
        ours.watch(1.0)
        os.kill(ours.stack.valkey_process.pid, signal.SIGSTOP)
        ours.watch(3.0)
        os.kill(ours.stack.valkey_process.pid, signal.SIGCONT)
        ours.watch(1.0)

        assert ours.end().violations == [], str(ours.report)
        assert not ours.report.ended


def test_nobody_ends_because_redis_is_full(drill):
    with drill(seconds=6, kinds=HARMLESS) as ours, ours.stack.redis as client:
        ours.watch(1.5)
        before = client.config_get("maxmemory*")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        ours.watch(3.0)
        for name in ("maxmemory", "maxmemory-policy"):  # or all that may leave would
            client.config_set(name, before[name])

        assert ours.end().violations == [], str(ours.report)
        assert not ours.report.ended
