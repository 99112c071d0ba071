"""run_persister as a process: start, stop, kill between commit and acknowledgement, second start."""

import os
import signal
import subprocess
import sys

import pytest

from tests.audiocache.audio_blobs import finish, sound, sounds
from tests.audiocache.files import MANAGE
from tests.waiting import PROCESS_PATIENCE, wait_until

# Kills itself between the commit of a batch and its acknowledgement, so that the product needs no hook.
KILLED = """
import os, signal, sys
from config.streams import StreamConsumer
StreamConsumer.acknowledge = lambda self, entries: os.kill(os.getpid(), signal.SIGKILL)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "run_persister"])
"""


@pytest.fixture
def start(files, settings):
    """Starts processes without secrets and PostgreSQL, and kills them at the end of the test."""
    environment = {
        **os.environ,
        "AUDIO_DIR": str(files),
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(MANAGE.parent),
    }
    environment.pop("SECRET_KEY", None)
    environment.pop("API_KEY_PEPPER", None)
    started = []

    def start_one(*args: str) -> subprocess.Popen:
        command = [sys.executable, *(args or (str(MANAGE), "run_persister"))]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def is_reading(redis):
    return redis.exists("persist") and redis.xinfo_groups("persist")


def test_it_stores_audio_and_exits_on_sigterm(redis, start, open_store):
    many = sounds(50)
    process = start()
    wait_until(lambda: is_reading(redis), PROCESS_PATIENCE)
    finish(redis, *many)
    wait_until(lambda: redis.xlen("persist") == 0)

    process.send_signal(signal.SIGTERM)

    assert process.wait(PROCESS_PATIENCE) == 0
    assert open_store().stats().entries == 50
    assert redis.get("unpersisted") == b"0"


def test_a_kill_between_commit_and_acknowledgement_loses_and_doubles_no_audio(redis, start, open_store):
    many = sounds(20)
    finish(redis, *many)
    assert start("-c", KILLED).wait(PROCESS_PATIENCE) == -signal.SIGKILL
    assert (open_store().stats().entries, redis.xlen("persist")) == (20, 20)

    assert start(str(MANAGE), "run_persister", "--drain").wait(PROCESS_PATIENCE) == 0

    store = open_store()
    assert store.stats().entries == 20
    assert all(store.get(one.hash).audio == one.audio for one in many)
    assert (redis.get("unpersisted"), redis.xlen("persist")) == (b"0", 0)
    assert all(redis.ttl(f"audio:{one.hash}") > 0 for one in many)


def test_a_second_process_exits_with_a_message(start, open_store):
    open_store(writer=True)

    process = start()

    output, _ = process.communicate(timeout=PROCESS_PATIENCE)
    assert process.returncode == 75
    assert "another process writes audio" in output
    assert "Traceback" not in output


def test_without_the_files_it_names_the_command_that_creates_them(start, files):
    (files / "documents.sqlite3").unlink()

    process = start()

    output, _ = process.communicate(timeout=PROCESS_PATIENCE)
    assert process.returncode == 1
    assert "manage.py init_audiocache" in output


def test_draining_ends_when_both_streams_are_empty(redis, start, open_store):
    one = sound()
    finish(redis, one)
    redis.xadd("orders", {"alias": "audio", "kind": "pin", "hash": one.hash, "at_ms": 0})

    assert start(str(MANAGE), "run_persister", "--drain").wait(PROCESS_PATIENCE) == 0

    assert open_store().stats().pinned_bytes == 1000
    assert (redis.xlen("persist"), redis.xlen("orders")) == (0, 0)


def test_it_replaces_a_corrupt_file_at_its_start(redis, start, files, open_store):
    (files / "audio.sqlite3").write_bytes(b"a letter to a friend " * 1000)
    one = sound()
    finish(redis, one)

    process = start(str(MANAGE), "run_persister", "--drain")

    output, _ = process.communicate(timeout=PROCESS_PATIENCE)
    assert process.returncode == 0
    assert "audio is corrupt" in output
    assert open_store().get(one.hash).audio == one.audio
