"""Recovery from a corrupt file: it is set aside with its log and replaced by an empty one."""

from pathlib import Path

import pytest

from audiocache.errors import StoreDamaged, StoreMissing
from audiocache.orders import Kind
from audiocache.persister import PersistHandler
from audiocache.sqlite import recovery
from config.database.sqlite import sqlite3
from config.streams import StreamConsumer
from tests.audiocache.audio_blobs import finish, order, sound, sounds
from tests.audiocache.raw_file import assert_totals_are_exact

pytestmark = pytest.mark.django_db(databases=["audio"], transaction=True)
PAGE = 16384


def corrupt(path, table):
    """Overwrite the beginning of the first page of a table."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    db.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(bytes(200))


@pytest.fixture
def persister(redis, store):
    return StreamConsumer(PersistHandler({"audio": store}, redis), redis)


def drain(persister):
    while persister.run_once(wait=False):
        pass


def set_aside(path):
    return sorted(file.name for file in path.parent.glob("audio.sqlite3.*"))


def test_a_corrupt_file_is_replaced_by_an_empty_one(redis, persister, store, shown):
    old, new = sounds(2)
    finish(redis, old)
    drain(persister)
    store.disconnect_writer()
    corrupt(shown, "payload")
    finish(redis, new)

    drain(persister)

    assert (store.get(old.hash), store.get(new.hash).audio) == (None, new.audio)
    assert_totals_are_exact(store)
    assert redis.xlen("persist") == 0
    assert redis.get("generation:audio") == b"1"


def test_the_corrupt_file_is_kept_with_its_log(redis, persister, store, shown):
    finish(redis, sound())
    drain(persister)
    reader = sqlite3.connect(shown)  # keeps the log
    reader.execute("SELECT * FROM stat").fetchall()
    store.disconnect_writer()
    corrupt(shown, "payload")

    finish(redis, sound("new"))
    drain(persister)

    kinds = {name.split("-")[-1] for name in set_aside(shown) if ".damaged-" in name}
    assert {"wal", "shm"} < kinds
    reader.close()


def test_pinned_entries_are_listed(redis, persister, store, shown):
    pinned, other = sounds(2)
    store.write_batch([pinned.put, other.put], [order(Kind.PIN, pinned)])
    store.disconnect_writer()
    corrupt(shown, "payload")
    finish(redis, sound("new"))

    drain(persister)

    [pinned_list] = shown.parent.glob("audio.sqlite3.pinned-*")
    assert pinned_list.read_text() == f"{pinned.hash}\n"


def test_readers_reopen_the_new_file(redis, persister, store, open_store, shown):
    reader, (old, new) = open_store(), sounds(2)
    store.write_batch([old.put], [])
    assert reader.get(old.hash)
    store.disconnect_writer()
    corrupt(shown, "payload")
    finish(redis, new)

    drain(persister)

    assert reader.get(new.hash).audio == new.audio


def test_a_reader_reports_a_corrupt_page(redis, persister, store, open_store, shown):
    reported, one = [], sound()
    store.write_batch([one.put], [])
    store.disconnect_writer()
    corrupt(shown, "payload")
    reader = open_store(report_damaged=reported.append)

    assert reader.get(one.hash) is None
    assert reported == [one.hash]


def test_a_file_that_is_not_a_database_counts_as_damaged(store, open_store, shown):
    store.close()
    shown.write_bytes(b"a letter to a friend " * 1000)

    with pytest.raises(StoreDamaged):
        open_store(writer=True)


def test_an_interrupted_replacement_is_finished_at_the_next_start(store, open_store, shown):
    store.close()
    aside = recovery.set_aside(shown)
    log = shown.with_name(f"{shown.name}-wal")
    log.write_bytes(b"of the file set aside")

    again = open_store()
    again.open_writer()

    assert Path(aside.place).exists()
    assert not log.exists() or log.read_bytes()[:4] != b"of t"
    assert again.write_batch([sound().put], []).stored == 1


def test_without_an_interrupted_replacement_no_file_is_created(store, open_store, shown):
    store.close()
    shown.unlink()

    with pytest.raises(StoreMissing):
        open_store(writer=True)

    assert not shown.exists()
