"""Consumer locks: of two processes of one name, one runs."""

import os
import subprocess
import sys

import pytest
from redis.exceptions import ConnectionError

from config.streams import EX_TEMPFAIL
from config.streams.consumer_lock import ConsumerLock, ConsumerLockTaken
from tests.stack import ROOT
from tests.waiting import PROCESS_PATIENCE, wait_until


@pytest.fixture
def locks(redis):
    made = []

    def lock(name="results-0"):
        made.append(ConsumerLock(name))
        return made[-1]

    yield lock
    for each in made:
        each.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("config.streams.consumer_lock.PATIENCE_SECONDS", 0.0)


def test_a_lock_is_taken_once(locks, impatient):
    locks().take()

    with pytest.raises(ConsumerLockTaken, match="results-0 runs already"):
        locks().take()
    locks("results-1").take()


def test_a_lock_is_free_after_its_holder_disconnects(locks, redis):
    holder = locks()
    holder.take()
    holder.close()

    locks().take()


def test_an_idle_connection_does_not_hold_the_lock(locks, impatient, monkeypatch):
    locks().take()
    monkeypatch.setattr("config.streams.consumer_lock.SILENT_SECONDS", 0)

    locks().take()


def test_a_holder_detects_that_its_connection_was_lost(locks, redis):
    holder = locks()
    assert holder.is_lost()  # it never had one
    assert not holder.is_lost()
    [client] = [each for each in redis.client_list() if each["name"] == "consumer:results-0"]
    redis.client_kill_filter(_id=client["id"])

    lost = False
    for _ in range(3):
        try:
            lost = lost or holder.is_lost()
        except ConnectionError:
            continue

    assert lost


def consumer(tmp_path):
    environment = {"PATH": os.defpath, "REDIS_URL": os.environ["REDIS_URL"], "STATE_DIR": str(tmp_path)}
    command = [sys.executable, "manage.py", "run_results", "--number", "7"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)


def test_a_second_process_of_one_name_exits_and_another_runs_once_the_first_is_killed(redis, tmp_path):
    def is_there(process):
        return process.poll() is None and any(
            each["name"] == "consumer:results-7" for each in redis.client_list()
        )

    first = consumer(tmp_path)
    wait_until(lambda: is_there(first), PROCESS_PATIENCE)
    second = consumer(tmp_path)
    _, errors = second.communicate(timeout=PROCESS_PATIENCE)
    first.kill()
    first.communicate()
    third = consumer(tmp_path)

    wait_until(lambda: redis.xinfo_stream("results") and is_there(third), PROCESS_PATIENCE)

    third.terminate()
    assert (second.returncode, third.wait(PROCESS_PATIENCE)) == (EX_TEMPFAIL, 0)
    assert b"results-7 runs already: give this one another --number" in errors
    third.stderr.close()
