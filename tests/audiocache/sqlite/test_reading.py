"""Reads of an SQLite file beyond the contract: absent files and tables, locks, kinds of damage."""

import pytest

from audiocache.errors import StoreUnavailable
from config.database.sqlite import sqlite3
from tests.audiocache.audio_blobs import sound, sounds


def test_each_read_is_verified(open_store, tamper):
    reported, (one, bad, absent, *more) = [], sounds(600, size=20)
    store = open_store(writer=True, report_damaged=reported.append)
    store.write_batch([one.put, bad.put, *(each.put for each in more)], [])
    tamper("UPDATE entry SET sha256 = zeroblob(32) WHERE key = ?", bad.key)

    requested = [one, bad, absent, *more]
    found = {each.hash: audio for each in requested if (audio := store.get(each.hash))}

    assert found == {each.hash: (each.header, each.audio) for each in (one, *more)}
    assert reported == [bad.hash]


def test_every_read_is_a_miss_until_the_file_exists(open_store, files):
    path = files / "audio.sqlite3"
    away = path.rename(files / "away")
    reader, one = open_store(), sound()
    assert reader.get(one.hash) is None
    assert reader.stats().entries == 0

    away.rename(path)
    open_store(writer=True).write_batch([one.put], [])

    assert reader.get(one.hash).audio == one.audio


def test_every_read_is_a_miss_until_the_tables_exist(open_store, tmp_path):
    path = tmp_path / "new.sqlite3"
    path.touch()

    assert open_store(path=path).get(sound().hash) is None


def test_a_reader_does_not_wait_for_a_write_in_progress(store, open_store, files):
    reader, one = open_store(), sound()
    store.write_batch([one.put], [])
    other = sqlite3.connect(files / "audio.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert reader.get(one.hash).audio == one.audio
    other.close()


def test_a_reader_cannot_write(store):
    store.get(sound().hash)

    with pytest.raises(StoreUnavailable, match="readonly"):
        store.rows("DELETE FROM entry")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE payload SET data = zeroblob(length(data))",
        "UPDATE payload SET data = substr(data, 1, length(data) - 1)",
        "UPDATE entry SET sha256 = zeroblob(32)",
        "UPDATE entry SET meta = zeroblob(length(meta))",
        "DELETE FROM payload",
    ],
)
def test_damaged_audio_is_reported_and_never_served(open_store, tamper, damage):
    reported, one = [], sound()
    store = open_store(writer=True, report_damaged=reported.append)
    store.write_batch([one.put], [])

    tamper(damage)

    assert store.get(one.hash) is None
    assert reported == [one.hash]


def test_a_read_of_a_file_that_is_not_a_database_is_a_miss(open_store, tmp_path):
    path = tmp_path / "other.sqlite3"
    path.write_bytes(b"a letter to a friend " * 1000)

    assert open_store(path=path).get(sound().hash) is None


def test_a_file_that_cannot_be_opened_is_unavailable(open_store, tmp_path):
    path = tmp_path / "folder.sqlite3"
    path.mkdir()

    with pytest.raises(StoreUnavailable):
        open_store(path=path).get(sound().hash)
