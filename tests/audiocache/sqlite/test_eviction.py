"""Eviction from a file over its limit: order, marks, exemptions and freed pages."""

import random

import pytest

from audiocache.orders import Kind, Order
from audiocache.sqlite import eviction
from tests.audiocache.audio_blobs import MINUTE_MS, NOW, order, sound, sounds
from tests.audiocache.raw_file import assert_totals_are_exact


def put(store, *some):
    return store.write_batch([one.put for one in some], [])


def evict_all(store):
    """Evict as an idle run_persister does. Return the number of evicted entries."""
    evicted = 0
    while (change := store.write_batch([], [])).more:
        evicted += change.evicted
    return evicted + change.evicted


def test_the_least_recently_used_entries_are_evicted_and_no_more_than_needed(open_store, clock):
    store, many = open_store(writer=True, limit=5000), sounds(6)
    for one in many[:5]:
        put(store, one)
        clock.now += 600
    store.write_batch([], [order(Kind.TOUCH, many[0], at_ms=int(clock.now * 1000))])

    put(store, many[5])

    assert evict_all(store) == 1
    assert store.exists_many([one.hash for one in many]) == {one.hash for one in many if one != many[1]}
    assert_totals_are_exact(store)


def test_a_touch_in_the_same_batch_prevents_eviction(open_store, clock):
    store, (old, older, new) = open_store(writer=True, limit=2000), sounds(3)
    put(store, older)
    clock.now += 1
    put(store, old)
    clock.now += 3600

    store.write_batch([new.put], [order(Kind.TOUCH, older, at_ms=int(clock.now * 1000))])
    evict_all(store)

    assert store.exists(older.hash)
    assert not store.exists(old.hash)


def test_a_marked_entry_is_served_but_not_announced(open_store, clock):
    store, (old, new) = open_store(writer=True, limit=1000), sounds(2)
    put(store, old)
    clock.now += 3600

    put(store, new)

    assert store.headers([old.hash]) == {}
    assert not store.exists(old.hash)
    assert store.get(old.hash).audio == old.audio


def test_a_touch_unmarks_an_entry_that_was_announced_while_it_was_marked(open_store, clock):
    """A look-up read the header before the mark was set; its touch arrives after it."""
    store, (old, new) = open_store(writer=True, limit=1000), sounds(2)
    put(store, old)
    clock.now += 3600
    announced_ms = int(clock.now * 1000)
    put(store, new)

    store.write_batch([], [order(Kind.TOUCH, old, at_ms=announced_ms)])

    assert store.exists(old.hash)
    assert evict_all(store) == 0


def test_marked_entries_stay_until_every_touch_was_read(open_store, clock):
    store, (old, new) = open_store(writer=True, limit=1000), sounds(2)
    put(store, old)
    clock.now += 3600
    put(store, new)

    assert store.write_batch([], [], caught_up=False).evicted == 0
    assert store.get(old.hash)
    assert store.write_batch([], []).evicted == 1


def test_a_marked_entry_is_announced_again_once_the_file_is_within_its_limit(open_store, clock):
    store, (old, new) = open_store(writer=True, limit=1000), sounds(2)
    put(store, old)
    clock.now += 3600
    put(store, new)

    store.write_batch([], [order(Kind.DELETE, new)])

    assert store.exists(old.hash)


def test_a_marked_entry_is_announced_again_once_it_is_pinned(open_store, clock):
    store, (old, new) = open_store(writer=True, limit=2500), (sound(0), sound(1, 2000))
    put(store, old)
    clock.now += 3600
    put(store, new)
    assert store.pins([old.hash]) == {old.hash: False}

    store.write_batch([], [order(Kind.PIN, old)])

    assert store.exists(old.hash)
    assert store.pins([old.hash]) == {old.hash: True}


def test_pinned_and_recently_used_entries_are_not_evicted(open_store, clock):
    store, (pinned, announced, new) = open_store(writer=True, limit=2000), sounds(3)
    store.write_batch([pinned.put, announced.put], [order(Kind.PIN, pinned)])
    clock.now += 299

    put(store, new)
    assert evict_all(store) == 0

    clock.now += 2
    assert evict_all(store) == 1
    assert store.exists_many([pinned.hash, announced.hash, new.hash]) == {pinned.hash, new.hash}
    assert_totals_are_exact(store)


@pytest.mark.parametrize("seed", range(5))
def test_eviction_ends_just_below_the_limit_for_any_sizes(open_store, clock, seed):
    chance = random.Random(seed)
    limit, largest = 200_000, 30_000
    store = open_store(writer=True, limit=limit)
    for number in range(60):
        put(store, sound((seed, number), chance.randint(100, largest)))
        clock.now += 400

    evict_all(store)

    assert limit - largest <= store.stats().bytes <= limit
    assert_totals_are_exact(store)


def test_a_much_lower_limit_is_reached_in_small_slices(open_store, files, clock):
    roomy = open_store(writer=True)
    put(roomy, *sounds(450, size=10))
    roomy.close()
    clock.now += 3600
    store = open_store(writer=True, limit=100)

    slices = [store.write_batch([], []).evicted for _ in range(4)]

    assert slices == [0, eviction.SLICE_ENTRIES, eviction.SLICE_ENTRIES, 40]
    assert store.stats().bytes == 100


def test_pruning_evicts_down_to_the_given_size_once(open_store, clock):
    store, many = open_store(writer=True), sounds(10)
    put(store, *many)
    clock.now += 3600

    store.write_batch([], [Order("audio", Kind.PRUNE, [], [int(NOW * 1000)], 4500)])
    assert evict_all(store) == 6

    put(store, *sounds(10))
    assert evict_all(store) == 0
    assert store.stats().entries == 10


def test_at_most_half_of_the_limit_is_pinned(open_store):
    store, many = open_store(writer=True, limit=10_000), sounds(8)
    put(store, *many)

    change = store.write_batch([], [order(Kind.PIN, *many)])

    assert change.refused_pins == 3
    assert store.stats().pinned_bytes == 5000
    assert store.write_batch([], [order(Kind.PIN, *many[:5])]).refused_pins == 0
    assert_totals_are_exact(store)


def test_pages_freed_by_pruning_are_returned_in_steps(open_store, files, clock):
    store, path = open_store(writer=True), files / "audio.sqlite3"
    put(store, *sounds(100, size=100_000))
    clock.now += 3600
    store.write_batch([], [Order("audio", Kind.PRUNE, [], [int(NOW * 1000)], 1_000_000)])
    evict_all(store)

    steps = 0
    while store.free_space():
        steps += 1
    store.close()  # checkpoints the log

    assert steps == 3
    assert path.stat().st_size < 2_500_000


def test_free_pages_below_the_spare_size_are_kept(open_store, clock):
    store = open_store(writer=True, limit=1_000_000)
    put(store, *sounds(20, size=100_000))
    clock.now += 3600
    assert evict_all(store) == 10

    assert not store.free_space()


@pytest.mark.parametrize(
    ("sql", "values"), [(eviction.MARKED_ROWS, ()), (eviction.BY_AGE, (NOW * MINUTE_MS,))]
)
def test_eviction_queries_use_a_covering_index(store, sql, values):
    [step] = store.rows(f"EXPLAIN QUERY PLAN {sql}", values)

    assert "USING COVERING INDEX entry_by_age" in step[3]
