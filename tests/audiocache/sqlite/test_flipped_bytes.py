"""A flipped byte in each of a hundred entries: every one is detected, and none is served."""

import random

import pytest

from audiocache import blob
from audiocache.persister import PersistHandler
from audiocache.sqlite import SqliteStore
from config.database.sqlite import sqlite3
from config.streams import StreamConsumer
from tests.audiocache.audio_blobs import sound
from tests.audiocache.files import copy_files
from yapit.api.audio import AudioApplication

SEED = 20260101
MANY = 100
LARGEST = 300_000
NEEDLE_BYTES = 16  # enough to be unique among the entries


async def known(scope):
    """Identifies an account, as the application needs one."""


async def ask(application, one, span=None):
    """Status and body of a response."""
    headers = [(b"range", b"bytes=%d-%d" % span)] if span else []
    scope = {"type": "http", "method": "GET", "path": f"/v1/audio/{one.hash}", "headers": headers}
    sent = []

    async def send(message):
        sent.append(message)

    await application(scope, None, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.fixture
def chance():
    return random.Random(SEED)


@pytest.fixture(scope="module")
def many():
    sizes = random.Random(SEED).choices(range(1000, LARGEST), k=MANY - 1)
    return [sound(number, size) for number, size in enumerate([*sizes, 3_000_000])]


@pytest.fixture(scope="module")
def content(many, tmp_path_factory):
    """The bytes of a file in which each entry has one flipped bit."""
    path = copy_files(tmp_path_factory.mktemp("flipped") / "files") / "audio.sqlite3"
    writer = SqliteStore(path, 10**9)
    writer.open_writer()
    for start in range(0, MANY, 20):
        writer.write_batch([one.put for one in many[start : start + 20]], [])
    writer.close()  # checkpoints the log: all bytes are in the file
    content, chance = bytearray(path.read_bytes()), random.Random(SEED)
    for one in many:
        flip(content, one.audio, chance)
    return content


@pytest.fixture
def damaged(content, files, open_store):
    (files / "audio.sqlite3").write_bytes(content)
    reported = []
    store = open_store(report_damaged=reported.append)
    store.reported = reported
    return store


def flip(content, audio, chance):
    """Flip a bit of an audio in every copy on a page, stale ones included. Skips copies across two pages."""
    found = -1
    while found < 0:
        start = chance.randrange(len(audio) - NEEDLE_BYTES)
        needle = audio[start : start + NEEDLE_BYTES]
        found = content.find(needle)
    where, bit = chance.randrange(NEEDLE_BYTES), 1 << chance.randrange(8)
    while found >= 0:
        content[found + where] ^= bit
        found = content.find(needle, found)


async def test_damaged_audio_is_not_served(damaged, many, async_redis):
    application = AudioApplication(known, lambda: damaged)

    answers = [await ask(application, one) for one in many]

    assert [status for status, _ in answers] == [404] * MANY
    assert damaged.reported == [one.hash for one in many]


async def test_no_range_of_damaged_audio_is_served(damaged, many, chance, async_redis):
    application = AudioApplication(known, lambda: damaged)

    for one in many:
        start = chance.randrange(len(one.audio) - 100)
        assert (await ask(application, one, (start, start + 99)))[0] == 404

    assert damaged.reported == [one.hash for one in many]


def test_the_writer_removes_entries_that_readers_reported(damaged, many, redis, open_store):
    for one in many:
        damaged.get(one.hash)
    redis.xadd("orders", {"alias": "audio", "kind": "verify", "hash": ",".join(damaged.reported), "at_ms": 0})

    writer = open_store(writer=True)
    while StreamConsumer(PersistHandler({"audio": writer}, redis), redis).run_once(wait=False):
        pass

    assert damaged.stats().entries == 0


async def test_without_the_checksum_all_damaged_audio_would_be_served(
    damaged, many, monkeypatch, async_redis
):
    """Shows that the flipped bits are in the served audio, and that SQLite does not detect them."""
    monkeypatch.setattr(blob, "is_whole", lambda meta, sha256, data: True)
    application = AudioApplication(known, lambda: damaged)

    served = [await ask(application, one) for one in many]

    assert all(status == 200 for status, _ in served)
    assert all(body != one.audio for (_, body), one in zip(served, many, strict=True))
    with sqlite3.connect(damaged.path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
