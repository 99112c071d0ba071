"""run_persister with a full disk or a locked file: no entry is acknowledged before it is stored."""

import os
import re
import resource
import subprocess
import sys
from contextlib import closing

import pytest

from config.database.sqlite import sqlite3
from tests.audiocache.audio_blobs import finish, sound, sounds
from tests.audiocache.files import MANAGE
from tests.audiocache.raw_file import assert_totals_are_exact, last_access
from tests.waiting import PROCESS_PATIENCE, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux to fill a disk for one process"),
]
LONG_AGO = 1_000_000_000
USED_MS = LONG_AGO * 1000 + 5000  # last access of `before`
FILE_BYTES = 1_000_000  # size limit of a file while the disk is full

RIGHT = """
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "run_persister"])
"""
# Fault: acknowledges before the commit.
ACKNOWLEDGED_FIRST = f"""
from audiocache.persister import PersistHandler
from config.streams import StreamConsumer
handle = PersistHandler.handle
def acknowledge_first(self, batch):
    StreamConsumer(self, self.redis).acknowledge(batch.entries)
    return handle(self, batch)
PersistHandler.handle = acknowledge_first
{RIGHT}
"""


class FullDisk:
    """A full disk for one process: its files cannot grow."""

    def __init__(self, files):
        self.process = None

    def begin(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, resource.RLIM_INFINITY))

    def end(self):
        no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, no_limit)


class LockedFile:
    """A file locked by a write transaction that does not end."""

    def __init__(self, files):
        self.other = sqlite3.connect(files / "audio.sqlite3", isolation_level=None)
        self.other.execute("BEGIN IMMEDIATE")

    def begin(self):
        """The lock is held already."""

    def end(self):
        self.other.close()


@pytest.fixture(params=[FullDisk, LockedFile])
def outage(request, files, open_store, clock):
    clock.now = LONG_AGO
    with closing(open_store(writer=True)) as store:
        store.write_batch([sound("before").put], [])
    return request.param(files)


@pytest.fixture
def start(files, outage, tmp_path):
    """Starts a persister during the outage. Returns a function that counts its failed attempts."""
    log_file = tmp_path / "log"
    environment = {
        **os.environ,
        "AUDIO_DIR": str(files),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(MANAGE.parent),
    }

    def start_one(program):
        with log_file.open("w") as log:
            outage.process = subprocess.Popen(
                [sys.executable, "-c", program], env=environment, stderr=log, preexec_fn=outage.begin
            )
        return lambda: len(re.findall("trying again", log_file.read_text()))

    yield start_one
    outage.end()
    outage.process.kill()
    outage.process.wait()


def test_no_entry_is_acknowledged_and_all_are_stored_afterwards(redis, outage, start, open_store):
    many, before, store = sounds(40, 100_000), sound("before"), open_store()
    finish(redis, *many)
    redis.xadd("orders", {"alias": "audio", "kind": "touch", "hash": before.hash, "at_ms": USED_MS})
    failed_attempts = start(RIGHT)
    wait_until(lambda: failed_attempts() >= 2, PROCESS_PATIENCE)

    assert (redis.xlen("persist"), redis.xlen("orders")) == (40, 1)
    assert {redis.ttl(f"audio:{one.hash}") for one in many} == {-1}
    assert int(redis.get("unpersisted")) == sum(len(one.blob) for one in many)
    assert store.stats().entries == 1
    assert store.get(before.hash).audio == before.audio  # readers do not notice

    outage.end()
    wait_until(lambda: (redis.xlen("persist"), redis.xlen("orders")) == (0, 0), PROCESS_PATIENCE)

    assert all(store.get(one.hash).audio == one.audio for one in many)
    assert last_access(store, before) == USED_MS
    assert redis.get("unpersisted") == b"0"
    assert redis.keys("dead:*") == []
    assert_totals_are_exact(store)


def test_a_persister_that_acknowledges_first_loses_all_audio(redis, outage, start, open_store):
    """Shows that the test above can fail."""
    finish(redis, *sounds(40, 100_000))
    failed_attempts = start(ACKNOWLEDGED_FIRST)

    wait_until(failed_attempts, PROCESS_PATIENCE)

    assert redis.xlen("persist") == 0
    assert open_store().stats().entries == 1
