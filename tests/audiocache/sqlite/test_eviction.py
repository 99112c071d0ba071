"""Eviction from an SQLite file: slices, freed pages, the index. Its rules are in the contract."""

import random

import pytest

from audiocache.orders import Kind, Order
from audiocache.sqlite import eviction
from tests.audiocache.audio_blobs import MINUTE_MS, NOW, sound, sounds
from tests.audiocache.raw_file import assert_totals_are_exact


def put(store, *some):
    return store.write_batch([one.put for one in some], [])


def evict_all(store):
    """Evict as an idle run_persister does. Return the number of evicted entries."""
    evicted = 0
    while (change := store.write_batch([], [])).more:
        evicted += change.evicted
    return evicted + change.evicted


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
