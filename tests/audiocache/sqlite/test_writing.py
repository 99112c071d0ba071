"""Batches: their effect on the file, and rollback when they fail."""

import pytest

from audiocache.errors import StoreMissing, StoreUnavailable, WriterBusy
from audiocache.orders import Kind
from audiocache.records import Put
from config.database.sqlite import sqlite3
from tests.audiocache.audio_blobs import MINUTE_MS, NOW, order, sound, sounds
from tests.audiocache.raw_file import assert_totals_are_exact, last_access


def test_each_batch_updates_the_totals(store):
    many = sounds(10, size=100)

    store.write_batch([one.put for one in many], [order(Kind.PIN, many[0])])
    store.write_batch([], [order(Kind.PIN, *many[:4]), order(Kind.DELETE, many[0], many[9])])

    stats = store.stats()
    assert (stats.bytes, stats.entries, stats.pinned_bytes) == (800, 8, 300)
    assert_totals_are_exact(store)


def test_a_repeated_batch_changes_nothing(store):
    many = sounds(3)
    puts = [one.put for one in many]
    assert store.write_batch([*puts, *puts], []).stored == 3

    assert store.write_batch(puts, []).stored == 0

    assert store.stats().entries == 3
    assert_totals_are_exact(store)


def test_storing_again_keeps_the_pin(store):
    one = sound()
    store.write_batch([one.put], [])
    store.write_batch([], [order(Kind.PIN, one)])

    store.write_batch([one.put], [])

    assert store.stats().pinned_bytes == 1000


def test_storing_again_replaces_damaged_audio(store, tamper):
    one = sound()
    store.write_batch([one.put], [])
    tamper("UPDATE payload SET data = zeroblob(length(data))")

    store.write_batch([one.put], [])

    assert store.get(one.hash).audio == one.audio
    assert_totals_are_exact(store)


def test_an_order_to_verify_removes_only_damaged_entries(store, tamper):
    good, bad = sounds(2)
    store.write_batch([good.put, bad.put], [])
    tamper("UPDATE payload SET data = zeroblob(5) WHERE id = (SELECT id FROM entry WHERE key = ?)", bad.key)

    store.write_batch([], [order(Kind.VERIFY, good, bad, sound("absent"))])

    assert store.exists_many([good.hash, bad.hash]) == {good.hash}


def test_a_touch_moves_the_last_access_forward_but_not_into_the_future(store, clock):
    one, now = sound(), int(NOW * 1000)
    store.write_batch([one.put], [])
    clock.now += 60

    store.write_batch([], [order(Kind.TOUCH, one, at_ms=now - 5000)])
    assert last_access(store, one) == now
    store.write_batch([], [order(Kind.TOUCH, one, at_ms=now + 5000)])
    assert last_access(store, one) == now + 5000
    store.write_batch([], [order(Kind.TOUCH, one, at_ms=now + 100 * MINUTE_MS)])
    assert last_access(store, one) == now + MINUTE_MS


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


def test_orders_for_absent_entries_have_no_effect(store):
    absent = sound("absent")

    store.write_batch([], [order(kind, absent) for kind in Kind if kind is not Kind.PRUNE])

    assert_totals_are_exact(store)


def test_a_second_writer_is_refused(store, open_store):
    with pytest.raises(WriterBusy, match=r"another process writes audio\.sqlite3|writes audio"):
        open_store(writer=True)


def test_closing_releases_the_writer_lock(store, open_store):
    store.close()

    open_store(writer=True).write_batch([sound().put], [])


def test_writing_needs_the_writer_lock(open_store):
    with pytest.raises(RuntimeError, match="lock"):
        open_store().write_batch([sound().put], [])


def test_a_missing_file_is_reported_with_the_command_that_creates_it(open_store, tmp_path):
    with pytest.raises(StoreMissing, match="init_audiocache"):
        open_store(path=tmp_path / "absent.sqlite3", writer=True)


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


def test_a_batch_with_an_invalid_entry_is_rolled_back(store):
    one = sound()
    bad = Put(b"x" * 32, b"header", None, b"y" * 32)

    with pytest.raises((sqlite3.IntegrityError, TypeError)):
        store.write_batch([one.put, bad], [])

    assert store.stats().entries == 0
    store.write_batch([one.put], [])
    assert_totals_are_exact(store)


@pytest.mark.parametrize("pragma", [("page_size", 16384), ("auto_vacuum", 2), ("journal_mode", "wal")])
def test_a_new_file_has_the_pragmas_that_cannot_be_changed_later(store, pragma):
    name, value = pragma

    assert store.rows(f"PRAGMA {name}") == [(value,)]
