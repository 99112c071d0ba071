"""Of two consumers of one name, one runs."""

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
def places(redis):
    made = []

    def place(name="results-0"):
        made.append(ConsumerLock(name))
        return made[-1]

    yield place
    for each in made:
        each.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("config.streams.consumer_lock.PATIENCE_SECONDS", 0.0)


def test_a_place_is_taken_once(places, impatient):
    places().take()

    with pytest.raises(ConsumerLockTaken, match="results-0 runs already"):
        places().take()
    places("results-1").take()


def test_a_place_is_free_once_its_holder_is_gone(places, redis):
    holder = places()
    holder.take()
    holder.close()

    places().take()


def test_a_holder_that_fell_silent_holds_nothing(places, impatient, monkeypatch):
    places().take()
    monkeypatch.setattr("config.streams.consumer_lock.SILENT_SECONDS", 0)

    places().take()


def test_a_holder_sees_that_its_connection_was_lost(places, redis):
    holder = places()
    assert holder.is_lost()  # it never had one
    assert not holder.is_lost()
    redis.client_kill_filter(_id=holder._client.client_id())

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


def test_a_second_process_of_one_name_says_so_and_after_a_kill_the_next_one_runs(redis, tmp_path):
    def is_there(process):
        return process.poll() is None and any(
            each["name"] == "consumer:results-7" for each in redis.client_list()
        )

    first = consumer(tmp_path)
    wait_until(lambda: is_there(first), PROCESS_PATIENCE)
    second = consumer(tmp_path)
    _, said = second.communicate(timeout=PROCESS_PATIENCE)
    first.kill()
    first.communicate()
    third = consumer(tmp_path)

    wait_until(lambda: redis.xinfo_stream("results") and is_there(third), PROCESS_PATIENCE)

    third.terminate()
    assert (second.returncode, third.wait(PROCESS_PATIENCE)) == (EX_TEMPFAIL, 0)
    assert b"results-7 runs already: give this one another --number" in said
    third.stderr.close()
