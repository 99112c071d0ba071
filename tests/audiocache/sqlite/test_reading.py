"""Reads of a store: hits, misses, damaged entries, concurrent processes and threads."""

import threading

import pytest

from audiocache.errors import StoreUnavailable
from audiocache.records import Put
from config.database.sqlite import sqlite3
from tests.audiocache.audio_blobs import sound, sounds


def test_stored_audio_is_read_back(store):
    one = sound("one", 100_000)
    store.write_batch([one.put], [])

    found = store.get(one.hash)

    assert found.header + found.audio == one.blob
    assert store.headers([one.hash]) == {one.hash: one.header}
    assert store.exists(one.hash)


def test_a_hash_that_was_not_stored_is_a_miss(store):
    absent = sound("absent").hash

    assert store.get(absent) is None
    assert store.headers([absent]) == {}
    assert not store.exists(absent)


def test_each_read_is_verified(open_store, tamper):
    reported, (one, bad, absent, *more) = [], sounds(600, size=20)
    store = open_store(writer=True, report_damaged=reported.append)
    store.write_batch([one.put, bad.put, *(each.put for each in more)], [])
    tamper("UPDATE entry SET sha256 = zeroblob(32) WHERE key = ?", bad.key)

    requested = [one, bad, absent, *more]
    found = {each.hash: audio for each in requested if (audio := store.get(each.hash))}

    assert found == {each.hash: (each.header, each.audio) for each in (one, *more)}
    assert reported == [bad.hash]


def test_many_hashes_are_looked_up_at_once(store):
    stored = sounds(1200, size=10)
    store.write_batch([one.put for one in stored], [])
    requested = [one.hash for one in stored] + [sound("absent").hash]

    assert store.headers(requested) == {one.hash: one.header for one in stored}
    assert store.exists_many(requested) == {one.hash for one in stored}
    assert store.headers([]) == {}


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


def test_a_reader_sees_commits_of_another_process(store, open_store):
    reader, (first, second) = open_store(), sounds(2)
    store.write_batch([first.put], [])
    assert reader.exists(first.hash)

    store.write_batch([second.put], [])

    assert reader.get(second.hash).audio == second.audio


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


def test_threads_read_on_separate_connections(store):
    one = sound()
    store.write_batch([one.put], [])
    found = []
    threads = [threading.Thread(target=lambda: found.append(store.get(one.hash))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [each.audio for each in found] == [one.audio] * 8


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


def test_a_damaged_header_is_not_announced(open_store, tamper):
    reported, (one, other) = [], sounds(2)
    store = open_store(writer=True, report_damaged=reported.append)
    store.write_batch([one.put, other.put], [])

    tamper("UPDATE entry SET meta = zeroblob(length(meta)) WHERE key = ?", one.key)

    assert store.headers([one.hash, other.hash]) == {other.hash: other.header}
    assert reported == [one.hash]


def test_a_header_of_other_audio_counts_as_damage(store):
    one, other = sounds(2)
    store.write_batch([Put(one.key, other.header, one.audio, one.put.sha256)], [])

    assert store.get(one.hash) is None


def test_a_read_of_a_file_that_is_not_a_database_is_a_miss(open_store, tmp_path):
    path = tmp_path / "other.sqlite3"
    path.write_bytes(b"a letter to a friend " * 1000)

    assert open_store(path=path).get(sound().hash) is None


def test_a_file_that_cannot_be_opened_is_unavailable(open_store, tmp_path):
    path = tmp_path / "folder.sqlite3"
    path.mkdir()

    with pytest.raises(StoreUnavailable):
        open_store(path=path).get(sound().hash)
