"""The tests that every implementation of audiocache.store.Store passes.

A subclass of StoreContract runs them, with these fixtures:

`open_store(limit=..., writer=False, report_damaged=...)`  opens a store on the storage of this test, on the
    fixture `clock`, as another process would, and closes it at the end
`store`             one that may write
`damage(one, part)` damages the `header` or the `audio` of a stored entry, or removes its audio (`missing`)
`corrupt()`         makes the storage unreadable as a whole; no store is open
`remove()`          removes the storage; no store is open
"""

import random
import threading

import pytest

from audiocache.errors import StoreDamaged, StoreMissing, WriterBusy
from audiocache.orders import Kind, Order
from audiocache.records import Put
from tests.audiocache.audio_blobs import MINUTE_MS, NOW, order, sound, sounds

HOUR = 3600


def hashes_of(some):
    return [one.hash for one in some]


def put(store, *some):
    return store.write_batch([one.put for one in some], [])


def evict_all(store):
    """Evict as an idle run_persister does. Return the number of evicted entries."""
    evicted = 0
    while (change := store.write_batch([], [])).more:
        evicted += change.evicted
    return evicted + change.evicted


def assert_totals_are_exact(store):
    stats, records = store.stats(), list(store.records())
    pinned = sum(record.size for record in records if record.is_pinned)
    assert (stats.bytes, stats.entries, stats.pinned_bytes) == (
        sum(record.size for record in records),
        len(records),
        pinned,
    )
    assert store.wrong_totals() == []


def last_access_ms(store, one):
    [used] = [record.last_access for record in store.records() if record.hash == one.hash]
    return round(used * 1000)


class StoreContract:
    # --- Reads ----------------------------------------------------------------------------------------------

    def test_stored_audio_is_read_back(self, store):
        one = sound("one", 100_000)
        store.write_batch([Put(one.key, one.header, memoryview(one.audio), one.put.sha256)], [])

        assert store.get(one.hash) == (one.header, one.audio)
        assert store.headers([one.hash]) == {one.hash: one.header}
        assert store.exists(one.hash)
        assert store.pins([one.hash]) == {one.hash: False}

    def test_a_hash_that_was_not_stored_is_a_miss(self, store):
        absent = sound("absent").hash

        assert store.get(absent) is None
        assert store.get_range(absent, 0, 5) is None
        assert store.headers([absent]) == {}
        assert store.exists_many([absent]) == set()
        assert store.pins([absent]) == {}
        assert not store.exists(absent)
        assert store.is_undamaged(absent)

    @pytest.mark.parametrize(
        ("start", "stop"),
        [(0, None), (0, 1), (10, 20), (990, 2000), (-10, None), (-5000, None), (1000, None), (5000, 6000)],
    )
    def test_a_range_is_that_of_a_slice(self, store, start, stop):
        one = sound("one", 1000)
        put(store, one)

        assert store.get_range(one.hash, start, stop) == (one.header, one.audio[start:stop])

    def test_many_hashes_are_looked_up_at_once(self, store):
        stored = sounds(1200, size=10)
        put(store, *stored)
        requested = [*hashes_of(stored), sound("absent").hash]

        assert store.headers(requested) == {one.hash: one.header for one in stored}
        assert store.exists_many(requested) == set(hashes_of(stored))
        assert store.pins(requested) == dict.fromkeys(hashes_of(stored), False)
        assert store.headers([]) == store.pins([]) == {}
        assert store.exists_many([]) == set()

    def test_another_process_reads_what_was_committed(self, store, open_store):
        reader, (first, second) = open_store(), sounds(2)
        put(store, first)
        assert reader.exists(first.hash)

        put(store, second)

        assert reader.get(second.hash) == (second.header, second.audio)
        assert reader.stats().entries == 2

    def test_threads_read_at_the_same_time(self, store):
        many, wrong = sounds(20), []
        put(store, *many)

        def read():
            wrong.extend(one.hash for one in many if store.get(one.hash) != (one.header, one.audio))
            wrong.extend(set(hashes_of(many)) - store.headers(hashes_of(many)).keys())

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert wrong == []

    def test_a_reader_beside_a_writer_sees_batches_whole_or_not_at_all(self, store, open_store):
        reader, torn, over = open_store(), [], threading.Event()
        pairs = [(sound((number, 0)), sound((number, 1))) for number in range(20)]

        def read():
            while not over.is_set():
                for pair in pairs:
                    found = reader.exists_many(hashes_of(pair))
                    if len(found) == 1:
                        torn.append(found)

        thread = threading.Thread(target=read)
        thread.start()
        for pair in pairs:
            put(store, *pair)
        over.set()
        thread.join()

        assert torn == []

    @pytest.mark.parametrize("part", ["header", "audio", "missing"])
    def test_damaged_audio_is_reported_and_never_served(self, open_store, damage, part):
        reported, (one, good) = [], sounds(2)
        store = open_store(writer=True, report_damaged=reported.append)
        put(store, one, good)

        damage(one, part)

        assert store.get(one.hash) is None
        assert store.get_range(one.hash, 0, 1) is None
        assert set(reported) == {one.hash}
        assert not store.is_undamaged(one.hash)
        assert store.is_undamaged(good.hash)
        assert store.get(good.hash).audio == good.audio

    def test_a_damaged_header_is_not_announced(self, open_store, damage):
        reported, (one, other) = [], sounds(2)
        store = open_store(writer=True, report_damaged=reported.append)
        put(store, one, other)

        damage(one, "header")

        assert store.headers(hashes_of([one, other])) == {other.hash: other.header}
        assert reported == [one.hash]

    def test_to_verify_reports_nothing(self, open_store, damage):
        reported, one = [], sound()
        store = open_store(writer=True, report_damaged=reported.append)
        put(store, one)
        damage(one, "audio")

        assert not store.is_undamaged(one.hash)
        assert reported == []

    def test_the_header_of_other_audio_counts_as_damage(self, store):
        one, other = sounds(2)
        store.write_batch([Put(one.key, other.header, one.audio, one.put.sha256)], [])

        assert store.get(one.hash) is None

    def test_every_entry_is_recorded_once(self, store, clock):
        many = sounds(1200, size=10)
        put(store, *many)
        clock.now += 60
        store.write_batch(
            [], [order(Kind.PIN, many[3]), order(Kind.TOUCH, many[5], at_ms=int(clock.now * 1000))]
        )

        records = {record.hash: record for record in store.records()}

        assert len(list(store.records())) == len(records) == 1200
        assert {record.size for record in records.values()} == {10}
        assert [one.hash for one in many if records[one.hash].is_pinned] == [many[3].hash]
        assert records[many[5].hash].last_access == clock.now
        assert records[many[6].hash].last_access == NOW

    def test_entries_stored_during_the_iteration_hide_no_other(self, store):
        many = sounds(1200, size=10)
        put(store, *many)
        records = store.records()
        seen = [next(records).hash]

        put(store, *(sound(("later", number), 10) for number in range(50)))
        seen += [record.hash for record in records]

        assert set(hashes_of(many)) <= set(seen)
        assert len(seen) == len(set(seen))

    def test_the_oldest_access_is_that_of_the_next_to_be_evicted(self, store, clock):
        assert store.oldest_access() is None
        pinned, old, new = sounds(3)
        store.write_batch([pinned.put], [order(Kind.PIN, pinned)])
        clock.now += 60
        put(store, old)
        clock.now += 60
        put(store, new)

        assert store.oldest_access() == NOW + 60

    def test_the_space_is_named_in_bytes(self, store):
        put(store, *sounds(20))

        space = store.space()

        assert all(name.endswith("_bytes") for name in space)
        assert sum(space.values()) >= 20_000

    # --- Storage --------------------------------------------------------------------------------------------

    def test_without_storage_every_read_is_a_miss(self, store, open_store, remove):
        store.close()
        remove()
        reader, one = open_store(), sound()

        assert reader.get(one.hash) is None
        assert reader.headers([one.hash]) == {}
        assert reader.stats().entries == 0
        assert list(reader.records()) == []
        assert reader.oldest_access() is None
        assert all(size == 0 for size in reader.space().values())
        assert reader.wrong_totals() == []
        assert reader.lost_pins() == []

    def test_without_storage_there_is_no_writer(self, store, open_store, remove):
        store.close()
        remove()

        with pytest.raises(StoreMissing, match="init_audiocache"):
            open_store(writer=True)

    def test_storage_is_prepared_once(self, store, open_store, remove):
        store.close()
        remove()
        reader, one = open_store(), sound()
        assert reader.get(one.hash) is None

        assert open_store().prepare()
        assert not open_store().prepare()
        put(open_store(writer=True), one)

        assert reader.get(one.hash).audio == one.audio

    def test_to_prepare_changes_nothing_beside_a_writer(self, store, open_store):
        put(store, sound())

        assert not open_store().prepare()
        assert store.stats().entries == 1

    def test_a_second_writer_is_refused(self, store, open_store):
        with pytest.raises(WriterBusy, match="writes audio"):
            open_store(writer=True)

    def test_closing_ends_the_right_to_write(self, store, open_store):
        store.close()

        put(open_store(writer=True), sound())
        with pytest.raises(RuntimeError):
            put(store, sound())

    def test_a_closed_store_reads_again(self, store):
        put(store, sound())
        store.close()

        assert store.exists(sound().hash)

    def test_a_store_that_was_not_opened_to_write_does_not(self, store, open_store):
        with pytest.raises(RuntimeError):
            put(open_store(), sound())

    def test_corrupt_storage_is_replaced(self, store, open_store, corrupt):
        reported, (old, new) = [], sounds(2)
        put(store, old)
        store.close()
        corrupt()
        reader = open_store(report_damaged=reported.append)
        assert reader.get(old.hash) is None
        assert reader.headers([old.hash]) == {}
        assert set(reported) == {old.hash}
        with pytest.raises(StoreDamaged):
            store.open_writer()

        store.replace_damaged()
        put(store, new)

        assert [reader.exists(one.hash) for one in (old, new)] == [False, True]
        assert_totals_are_exact(store)

    def test_the_pins_of_replaced_storage_are_listed(self, store):
        first, second, other = sounds(3)
        for one in (first, second):
            store.write_batch([one.put, other.put], [order(Kind.PIN, one)])
            aside = store.replace_damaged()
            assert aside.pinned == 1

        assert store.lost_pins() == hashes_of([first, second])
        assert store.stats().entries == 0

    def test_only_one_process_replaces_storage(self, store, open_store):
        with pytest.raises(WriterBusy):
            open_store().replace_damaged()

    # --- Batches --------------------------------------------------------------------------------------------

    def test_each_batch_updates_the_totals(self, store):
        many = sounds(10, size=100)

        put(store, *many)
        change = store.write_batch([], [order(Kind.PIN, *many[:4]), order(Kind.DELETE, many[0], many[9])])

        assert (change.bytes, change.n, change.pinned_bytes, change.total) == (-200, -2, 300, 800)
        stats = store.stats()
        assert (stats.bytes, stats.entries, stats.pinned_bytes, stats.limit) == (800, 8, 300, store.limit)
        assert_totals_are_exact(store)

    def test_a_repeated_batch_changes_nothing(self, store):
        many = sounds(3)
        puts = [one.put for one in many]
        orders = [order(Kind.PIN, many[0]), order(Kind.DELETE, sound("absent"))]
        assert store.write_batch([*puts, *puts], orders).stored == 3

        change = store.write_batch(puts, orders)

        assert (change.stored, change.bytes, change.n, change.pinned_bytes) == (0, 0, 0, 0)
        assert (store.stats().entries, store.stats().pinned_bytes) == (3, 1000)
        assert_totals_are_exact(store)

    def test_removals_precede_new_entries_and_pins_follow_them(self, store):
        one = sound()
        put(store, one)

        store.write_batch([one.put], [order(Kind.PIN, one), order(Kind.DELETE, one)])

        assert store.pins([one.hash]) == {one.hash: True}
        assert_totals_are_exact(store)

    def test_storing_again_keeps_the_pin_and_counts_as_a_touch(self, store, clock):
        one = sound()
        store.write_batch([one.put], [order(Kind.PIN, one)])
        clock.now += 60

        put(store, one)

        assert store.stats().pinned_bytes == 1000
        assert last_access_ms(store, one) == int(clock.now * 1000)

    @pytest.mark.parametrize("part", ["header", "audio", "missing"])
    def test_storing_again_replaces_damaged_audio(self, store, damage, part):
        one = sound()
        put(store, one)
        damage(one, part)

        assert put(store, one).stored == 1

        assert store.get(one.hash) == (one.header, one.audio)
        assert_totals_are_exact(store)

    def test_an_order_to_verify_removes_only_damaged_entries(self, store, damage):
        good, bad = sounds(2)
        put(store, good, bad)
        damage(bad, "audio")

        store.write_batch([], [order(Kind.VERIFY, good, bad, sound("absent"))])

        assert store.exists_many(hashes_of([good, bad])) == {good.hash}
        assert_totals_are_exact(store)

    def test_a_touch_moves_the_last_access_forward_but_not_into_the_future(self, store, clock):
        one, now = sound(), int(NOW * 1000)
        put(store, one)
        clock.now += 60

        store.write_batch([], [order(Kind.TOUCH, one, at_ms=now - 5000)])
        assert last_access_ms(store, one) == now
        store.write_batch([], [order(Kind.TOUCH, one, at_ms=now + 5000)])
        assert last_access_ms(store, one) == now + 5000
        store.write_batch([], [order(Kind.TOUCH, one, at_ms=now + 100 * MINUTE_MS)])
        assert last_access_ms(store, one) == now + MINUTE_MS

    def test_one_order_has_a_time_for_each_entry(self, store, clock):
        first, second = sounds(2)
        put(store, first, second)
        clock.now += 60
        times = [int(NOW * 1000) + seconds * 1000 for seconds in (10, 20)]

        store.write_batch([], [Order(store.alias, Kind.TOUCH, [first.key, second.key], times)])

        assert [last_access_ms(store, one) for one in (first, second)] == times

    def test_orders_for_absent_entries_do_nothing(self, store):
        store.write_batch([], [order(kind, sound("absent")) for kind in Kind if kind is not Kind.PRUNE])

        assert store.stats().entries == 0
        assert_totals_are_exact(store)

    def test_at_most_half_of_the_limit_is_pinned(self, open_store):
        store, many = open_store(writer=True, limit=10_000), sounds(8)
        put(store, *many)

        change = store.write_batch([], [order(Kind.PIN, *many)])
        assert (change.refused_pins, store.stats().pinned_bytes) == (3, 5000)

        store.write_batch([], [order(Kind.UNPIN, many[0])])
        assert store.write_batch([], [order(Kind.PIN, many[7])]).refused_pins == 0
        assert store.stats().pinned_bytes == 5000
        assert_totals_are_exact(store)

    def test_a_batch_that_fails_changes_nothing(self, store):
        kept, one = sounds(2)
        put(store, kept)

        with pytest.raises(Exception):  # noqa: B017, PT011  # a bug, for which each raises another
            store.write_batch([one.put, Put(b"x" * 32, b"", None, b"y" * 32)], [order(Kind.DELETE, kept)])

        assert store.exists_many(hashes_of([kept, one])) == {kept.hash}
        assert put(store, one).stored == 1
        assert_totals_are_exact(store)

    def test_returning_space_ends_and_loses_nothing(self, store):
        kept, *gone = sounds(20, size=10_000)
        put(store, kept, *gone)
        store.write_batch([], [order(Kind.DELETE, *gone), Order(store.alias, Kind.PRUNE, [], [0], 10**8)])

        for _ in range(1000):
            if not store.free_space():
                break

        assert not store.free_space()
        assert store.get(kept.hash).audio == kept.audio

    # --- Eviction -------------------------------------------------------------------------------------------

    def test_the_least_recently_used_entries_are_evicted_and_no_more_than_needed(self, open_store, clock):
        store, many = open_store(writer=True, limit=5000), sounds(6)
        for one in many[:5]:
            put(store, one)
            clock.now += 600
        store.write_batch([], [order(Kind.TOUCH, many[0], at_ms=int(clock.now * 1000))])

        put(store, many[5])

        assert evict_all(store) == 1
        assert store.exists_many(hashes_of(many)) == {one.hash for one in many if one != many[1]}
        assert_totals_are_exact(store)

    def test_a_touch_in_the_same_batch_prevents_eviction(self, open_store, clock):
        store, (old, older, new) = open_store(writer=True, limit=2000), sounds(3)
        put(store, older)
        clock.now += 1
        put(store, old)
        clock.now += HOUR

        store.write_batch([new.put], [order(Kind.TOUCH, older, at_ms=int(clock.now * 1000))])
        evict_all(store)

        assert store.exists_many(hashes_of([old, older])) == {older.hash}

    def test_a_marked_entry_is_served_but_not_announced(self, open_store, clock):
        store, (old, new) = open_store(writer=True, limit=1000), sounds(2)
        put(store, old)
        clock.now += HOUR

        change = put(store, new)

        assert (change.more, change.evicted, change.total) == (True, 0, 2000)
        assert store.headers([old.hash]) == {}
        assert store.exists_many([old.hash]) == set()
        assert not store.exists(old.hash)
        assert store.get(old.hash).audio == old.audio
        assert store.pins([old.hash]) == {old.hash: False}
        assert {record.hash: record.last_access for record in store.records()}[old.hash] is None

    def test_a_touch_unmarks_an_entry_that_was_announced_while_it_was_marked(self, open_store, clock):
        """A look-up read the header before the mark was set; its touch arrives after it."""
        store, (old, new) = open_store(writer=True, limit=1000), sounds(2)
        put(store, old)
        clock.now += HOUR
        announced_ms = int(clock.now * 1000)
        put(store, new)

        store.write_batch([], [order(Kind.TOUCH, old, at_ms=announced_ms)])

        assert store.exists(old.hash)
        assert evict_all(store) == 0

    def test_marked_entries_stay_until_every_touch_was_read(self, open_store, clock):
        store, (old, new) = open_store(writer=True, limit=1000), sounds(2)
        put(store, old)
        clock.now += HOUR
        put(store, new)

        assert store.write_batch([], [], caught_up=False).evicted == 0
        assert store.get(old.hash)
        assert store.write_batch([], []).evicted == 1
        assert store.get(old.hash) is None

    def test_a_marked_entry_is_announced_again_once_the_store_is_within_its_limit(self, open_store, clock):
        store, (old, new) = open_store(writer=True, limit=1000), sounds(2)
        put(store, old)
        clock.now += HOUR
        put(store, new)

        store.write_batch([], [order(Kind.DELETE, new)])

        assert store.exists(old.hash)

    def test_a_marked_entry_is_announced_again_once_it_is_pinned(self, open_store, clock):
        store, (old, new) = open_store(writer=True, limit=2500), (sound(0), sound(1, 2000))
        put(store, old)
        clock.now += HOUR
        put(store, new)
        assert not store.exists(old.hash)

        store.write_batch([], [order(Kind.PIN, old)])

        assert store.exists(old.hash)
        assert store.pins([old.hash]) == {old.hash: True}

    def test_marks_outlive_the_writer(self, open_store, clock):
        store, (old, new) = open_store(writer=True, limit=1000), sounds(2)
        put(store, old)
        clock.now += HOUR
        put(store, new)
        store.close()

        again = open_store(writer=True, limit=1000)

        assert not again.exists(old.hash)
        assert again.write_batch([], []).evicted == 1

    def test_pinned_and_recently_used_entries_are_not_evicted(self, open_store, clock):
        store, (pinned, announced, new) = open_store(writer=True, limit=2000), sounds(3)
        store.write_batch([pinned.put, announced.put], [order(Kind.PIN, pinned)])
        clock.now += 299

        put(store, new)
        assert evict_all(store) == 0

        clock.now += 2
        assert evict_all(store) == 1
        assert store.exists_many(hashes_of([pinned, announced, new])) == {pinned.hash, new.hash}
        assert_totals_are_exact(store)

    def test_a_full_store_that_cannot_evict_has_no_more_to_do(self, open_store):
        store = open_store(writer=True, limit=1000)

        change = put(store, *sounds(3))

        assert (change.more, change.total) == (False, 3000)

    def test_pruning_evicts_down_to_the_given_size_once(self, store, clock):
        many = sounds(10)
        put(store, *many)
        clock.now += HOUR

        store.write_batch([], [Order(store.alias, Kind.PRUNE, [], [int(NOW * 1000)], 4500)])
        assert evict_all(store) == 6

        put(store, *many)
        clock.now += HOUR
        assert evict_all(store) == 0
        assert store.stats().entries == 10

    def test_a_lower_limit_is_reached(self, store, open_store, clock):
        put(store, *sounds(450, size=10))
        store.close()
        clock.now += HOUR

        lower = open_store(writer=True, limit=100)

        assert evict_all(lower) == 440
        assert lower.stats().bytes == 100

    @pytest.mark.parametrize("seed", range(5))
    def test_totals_stay_exact_and_within_the_limit_for_any_batches(self, open_store, clock, seed):
        chance = random.Random(seed)
        limit, largest = 100_000, 20_000
        store = open_store(writer=True, limit=limit)
        many = [sound((seed, number), chance.randint(100, largest)) for number in range(40)]
        kinds = [Kind.TOUCH, Kind.PIN, Kind.UNPIN, Kind.DELETE, Kind.VERIFY]

        for _ in range(60):
            now_ms = int(clock.now * 1000)
            orders = [order(chance.choice(kinds), *chance.sample(many, 3), at_ms=now_ms) for _ in range(2)]
            puts = [one.put for one in chance.sample(many, chance.randint(0, 3))]
            store.write_batch(puts, orders, caught_up=chance.random() < 0.8)
            assert_totals_are_exact(store)
            assert store.stats().pinned_bytes <= limit // 2
            clock.now += 400
        evict_all(store)

        assert store.stats().bytes <= limit
        for one in many:
            assert store.get(one.hash) in (None, (one.header, one.audio))
        assert_totals_are_exact(store)
