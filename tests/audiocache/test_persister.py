"""The persister: stored, acknowledged, lost and malformed entries, orders, eviction."""

import pytest

from audiocache import orders
from audiocache.errors import StoreUnavailable
from audiocache.persister import PersistHandler
from config.database.sqlite import sqlite3
from config.streams import StreamConsumer
from tests.audiocache.audio_blobs import finish, sound, sounds


@pytest.fixture
def persister(redis, store, settings):
    settings.AUDIO_LOST_HOOK = "tests.audiocache.audio_blobs.note_lost"
    return StreamConsumer(PersistHandler({"audio": store}, redis), redis)


def drain(persister):
    while persister.run_once(wait=False):
        pass


def unpersisted(redis):
    return int(redis.get("unpersisted") or 0)


def left_over(redis):
    """Numbers of entries in both streams."""
    return redis.xlen("persist"), redis.xlen("orders")


def test_finished_audio_is_stored_and_acknowledged(redis, persister, store, settings):
    many = sounds(3)
    finish(redis, *many)
    assert redis.ttl(f"audio:{many[0].hash}") == -1

    drain(persister)

    for one in many:
        assert store.get(one.hash) == (one.header, one.audio)
        assert 0 < redis.ttl(f"audio:{one.hash}") <= settings.HOT_AUDIO_SECONDS
    assert (unpersisted(redis), left_over(redis)) == (0, (0, 0))


def test_repeated_acknowledgement_lowers_unpersisted_once(redis, persister):
    finish(redis, sound("one"), sound("other"))
    batch = persister.read(wait=False)
    persister.acknowledge(persister.handler.handle(batch).done)
    redis.incrby("unpersisted", 70)

    persister.acknowledge(batch.entries)

    assert unpersisted(redis) == 70


def test_unpersisted_does_not_fall_below_zero(redis, persister):
    finish(redis, sound())
    redis.delete("unpersisted")

    drain(persister)

    assert unpersisted(redis) == 0


def test_a_crash_after_the_commit_stores_nothing_twice(redis, persister, store):
    one = sound()
    finish(redis, one)
    persister.handler.handle(persister.read(wait=False))  # and no acknowledgement
    assert store.exists(one.hash)
    assert left_over(redis) == (1, 0)

    drain(StreamConsumer(PersistHandler({"audio": store}, redis), redis))

    assert store.stats().entries == 1
    assert (unpersisted(redis), left_over(redis)) == (0, (0, 0))


@pytest.mark.parametrize("left", [None, b"", b"\x00\x00\x00\x05short", "flipped", "cut"])
def test_missing_or_damaged_audio_is_synthesized_again(redis, persister, store, left):
    good, lost = sounds(2)
    finish(redis, good, lost)
    damaged = {"flipped": lost.blob[:-1] + bytes([lost.blob[-1] ^ 1]), "cut": lost.blob[:-1]}.get(left, left)
    redis.delete(f"audio:{lost.hash}")
    if damaged is not None:
        redis.set(f"audio:{lost.hash}", damaged)

    drain(persister)

    assert store.exists_many([good.hash, lost.hash]) == {good.hash}
    assert redis.lrange("lost", 0, -1) == [f"job {lost.hash}".encode()]
    assert not redis.exists(f"audio:{lost.hash}")
    assert (unpersisted(redis), left_over(redis)) == (0, (0, 0))


def test_audio_that_an_earlier_attempt_stored_is_not_lost(redis, persister, store):
    one = sound()
    store.write_batch([one.put], [])
    finish(redis, one)
    redis.delete(f"audio:{one.hash}")

    drain(persister)

    assert redis.llen("lost") == 0
    assert store.exists(one.hash)


def test_an_unreadable_lost_job_becomes_a_dead_letter_without_its_text(redis, persister, store):
    first, second = sounds(2)
    finish(redis, first)
    redis.xadd("persist", {"hash": sound("lost").hash, "alias": "audio", "size": 5, "job": "nonsense"})
    finish(redis, second)

    drain(persister)

    assert store.exists_many([first.hash, second.hash]) == {first.hash, second.hash}
    [(_, letter)] = redis.xrange("dead:persist")
    assert letter[b"reason"] == b"CannotRestore"
    assert b"job" not in letter  # but sealed:job


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 5},
        {"hash": "00", "size": 5},
        {"hash": "G" * 64, "size": 5},
        {"hash": "A" * 64, "size": 5},
        {"hash": " a" * 32, "size": 5},
        {"hash": "a" * 64, "size": "many"},
        {"hash": "a" * 64, "size": -5},
        {"hash": b"\xff" * 64, "size": 5},
    ],
)
def test_a_malformed_entry_becomes_a_dead_letter_and_the_rest_is_stored(redis, persister, store, fields):
    one = sound()
    redis.xadd("persist", fields)
    finish(redis, one)

    drain(persister)

    assert store.exists(one.hash)
    assert redis.xlen("dead:persist") == 1
    assert left_over(redis) == (0, 0)


def test_orders_are_applied(redis, persister, store):
    kept, gone = sounds(2)
    finish(redis, kept, gone)
    drain(persister)

    orders.pin(redis, "audio", [kept.hash])
    orders.delete(redis, "audio", [gone.hash])
    drain(persister)

    assert store.exists_many([kept.hash, gone.hash]) == {kept.hash}
    assert store.stats().pinned_bytes == 1000
    assert left_over(redis) == (0, 0)


def test_a_pin_applies_to_audio_of_the_same_batch(redis, persister, store):
    one = sound()
    finish(redis, one)
    orders.pin(redis, "audio", [one.hash])

    drain(persister)

    assert store.stats().pinned_bytes == 1000


def test_a_batch_over_the_size_of_a_transaction_is_written_in_parts(redis, persister, store, settings):
    settings.PERSIST_BATCH_BYTES = 2500
    many = [*sounds(5), sound("large", 5000)]
    finish(redis, *many)
    orders.pin(redis, "audio", [one.hash for one in many])

    drain(persister)

    assert store.stats().entries == 6
    assert store.stats().pinned_bytes == 10_000


@pytest.mark.parametrize(
    "fields",
    [
        {"alias": "audio", "kind": "touch", "at_ms": 5},
        {"alias": "audio", "kind": "touch", "at_ms": 5, "hash": "a" * 63},
        {"alias": "audio", "kind": "touch", "at_ms": 5, "hash": "a" * 64 + ",b"},
        {"alias": "audio", "kind": "touch", "at_ms": "now", "hash": "a" * 64},
        {"alias": "audio", "kind": "touch", "at_ms": "5,6", "hash": "a" * 64},
        {"alias": "audio", "kind": "touch", "at_ms": "-5", "hash": "a" * 64},
        {"alias": "audio", "kind": "touch", "at_ms": 2**63, "hash": "a" * 64},
        {"alias": "audio", "kind": "prune", "at_ms": 5, "hash": "", "size": -1},
        {"alias": "audio", "kind": "drop", "at_ms": 5, "hash": "a" * 64},
        {"alias": "default", "kind": "touch", "at_ms": 5, "hash": "a" * 64},
        {"kind": "touch", "at_ms": 5, "hash": "a" * 64},
    ],
)
def test_a_malformed_order_becomes_a_dead_letter(redis, persister, fields):
    redis.xadd("orders", fields)

    drain(persister)

    assert redis.xlen("dead:orders") == 1
    assert left_over(redis) == (0, 0)


def test_while_the_file_is_locked_no_entry_is_acknowledged_and_all_are_stored_afterwards(
    redis, persister, store, files
):
    many = sounds(3)
    finish(redis, *many)
    other = sqlite3.connect(files / "audio.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        drain(persister)
    assert left_over(redis) == (3, 0)
    assert redis.ttl(f"audio:{many[0].hash}") == -1

    other.close()
    drain(persister)

    assert store.exists_many([one.hash for one in many]) == {one.hash for one in many}
    assert (unpersisted(redis), left_over(redis)) == (0, (0, 0))


def test_an_unavailable_store_is_a_transient_error():
    assert issubclass(StoreUnavailable, PersistHandler.transient)


def test_an_entry_that_a_reader_reports_as_damaged_is_removed(redis, persister, open_store, store, tamper):
    one = sound()
    store.write_batch([one.put], [])
    tamper("UPDATE payload SET data = zeroblob(length(data))")
    reader = open_store(report_damaged=lambda hash_hex: orders.verify(redis, "audio", [hash_hex]))
    assert reader.get(one.hash) is None

    drain(persister)

    assert store.stats().entries == 0


def test_a_file_far_over_its_limit_without_evictable_entries_sets_storage_full(redis, open_store):
    store = open_store(writer=True, limit=2000)
    persister = StreamConsumer(PersistHandler({"audio": store}, redis), redis)
    many = sounds(3)
    finish(redis, *many)
    drain(persister)
    assert 0 < redis.ttl("storage-full") <= 30

    orders.delete(redis, "audio", [many[0].hash])
    drain(persister)

    assert not redis.exists("storage-full")


def test_an_idle_persister_evicts_down_to_the_limit(redis, open_store, clock):
    store = open_store(writer=True, limit=2000)
    persister = StreamConsumer(PersistHandler({"audio": store}, redis), redis)
    finish(redis, *sounds(5))
    drain(persister)
    clock.now += 301

    for _ in range(3):
        persister.run_once(wait=False)

    assert store.stats().bytes == 2000


def test_a_touch_between_marking_and_removal_prevents_eviction(redis, open_store, clock):
    store = open_store(writer=True, limit=1000)
    persister = StreamConsumer(PersistHandler({"audio": store}, redis), redis)
    old, new = sounds(2)
    finish(redis, old)
    drain(persister)
    clock.now += 301
    finish(redis, new)
    assert persister.run_once(wait=False) == 1
    assert not store.exists(old.hash)

    orders.touch_at(redis, "audio", {old.hash: int(clock.now * 1000)})
    drain(persister)

    assert store.exists(old.hash)
