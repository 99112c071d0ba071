"""Batches in an SQLite file beyond the contract: many variables, full disks, locks, pragmas."""

import pytest

from audiocache.errors import StoreUnavailable
from audiocache.orders import Kind
from config.database.sqlite import sqlite3
from tests.audiocache.audio_blobs import order, sound, sounds
from tests.audiocache.raw_file import assert_totals_are_exact, last_access


def test_more_touches_than_sql_variables_are_applied(store, clock):
    many = sounds(100, size=10)
    store.write_batch([one.put for one in many], [])
    clock.now += 60

    later = int(clock.now * 1000)
    store.write_batch([], [order(Kind.TOUCH, *many * 400, at_ms=later)])

    assert {last_access(store, one) for one in many} == {later}


def test_one_statement_for_all_touches_would_fail(tamper):
    """Shows that the test above can fail: SQLite allows 32,766 variables, the wheel 250,000."""
    marks = ",".join("?" * 250_001)

    with pytest.raises(sqlite3.OperationalError, match="too many SQL variables"):
        tamper(f"UPDATE entry SET last_access = 0 WHERE key IN ({marks})", *[b""] * 250_001)


@pytest.fixture
def fill_disk(monkeypatch):
    """Makes the disk full for the next connection."""
    connect = sqlite3.connect

    def connect_without_room(*args, **options):
        monkeypatch.setattr(sqlite3, "connect", connect)
        db = connect(*args, **options)
        db.execute("PRAGMA max_page_count = 12")
        return db

    return lambda: monkeypatch.setattr(sqlite3, "connect", connect_without_room)


def test_a_full_disk_changes_nothing_and_the_batch_can_be_repeated(store, fill_disk):
    first, second = sound("first"), sound("second", 500_000)
    store.write_batch([first.put], [])
    store.disconnect_writer()
    fill_disk()

    with pytest.raises(StoreUnavailable, match="full"):
        store.write_batch([second.put], [order(Kind.DELETE, first)])
    assert store.exists_many([first.hash, second.hash]) == {first.hash}
    assert_totals_are_exact(store)

    store.write_batch([second.put], [order(Kind.DELETE, first)])  # on a new connection, without the limit
    assert store.get(second.hash).audio == second.audio


def test_a_locked_file_changes_nothing_and_the_batch_can_be_repeated(store, files):
    one = sound()
    other = sqlite3.connect(files / "audio.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.write_batch([one.put], [])

    other.close()

    assert store.write_batch([one.put], []).stored == 1


@pytest.mark.parametrize("pragma", [("page_size", 16384), ("auto_vacuum", 2), ("journal_mode", "wal")])
def test_a_new_file_has_the_pragmas_that_cannot_be_changed_later(store, pragma):
    name, value = pragma

    assert store.rows(f"PRAGMA {name}") == [(value,)]
