"""The servers that the tests run on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

import config.redis.clients
from tests.waiting import PROCESS_PATIENCE, async_wait_until, wait_until

PROJECT = Path(__file__).parents[2]


@pytest.mark.django_db
def test_postgresql_is_private_to_the_tests():
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    suffix = f"_{worker}" if worker else ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000, current_database()")
        assert cursor.fetchone() == (18, f"test_yapit{suffix}")


def test_valkey_has_an_append_only_file(redis):
    info = redis.config_get("append*")

    assert info[b"appendonly" if b"appendonly" in info else "appendonly"] in (b"yes", "yes")
    assert redis.dbsize() == 0


def test_no_data_remain_from_another_test(redis):
    assert redis.dbsize() == 0
    redis.set("left", "over")


async def test_the_hot_client_returns_bytes(async_redis):
    await async_redis.set("greeting", "hello")

    assert await config.redis.clients.hot().get("greeting") == b"hello"


async def test_a_condition_may_be_a_coroutine(async_redis):
    await async_redis.set("ready", 1)

    assert await async_wait_until(lambda: async_redis.get("ready")) == b"1"


def test_a_condition_that_stays_false_fails_with_the_message():
    with pytest.raises(AssertionError, match="never"):
        wait_until(lambda: False, timeout=0.02, message="never")


def test_a_killed_test_run_leaves_no_server(tmp_path):
    script = tmp_path / "test_that_waits.py"
    script.write_text(
        "import os, time\n"
        "def test_waits():\n"
        "    print(os.environ['STATE_DIR'], flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "pytest", "-s", "-q", "-c", str(PROJECT / "pyproject.toml"), str(script)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as suite:
        folder = next(Path(line.strip()) for line in suite.stdout if line.startswith("/"))
        assert (folder / "valkey").exists()
        suite.send_signal(signal.SIGKILL)

    wait_until(lambda: not folder.exists() and not processes_of(folder), timeout=PROCESS_PATIENCE)


def processes_of(folder):
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in lines.splitlines() if str(folder) in line]
