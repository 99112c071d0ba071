"""The consumer loop on a real Valkey: no entry is lost, and none blocks the others."""

import contextlib

import pytest
from django.db import DataError, OperationalError
from redis.exceptions import ConnectionError

from config.streams import (
    MAX_DELIVERIES,
    BatchResult,
    ConsumerLock,
    Handler,
    StopFlag,
    StreamConsumer,
    UnreadableEntry,
)
from config.streams.consumer import CLAIM_IDLE_MS


class Collector(Handler[int]):
    streams = ("numbers",)
    group = "collectors"
    on_acknowledge = "redis.call('INCRBY', 'sum', args[1])"
    private_fields = frozenset({b"secret"})

    def __init__(self):
        self.handled = []
        self.refuse = set()
        self.outages = 0

    def parse(self, stream, fields):
        if not fields.get(b"n", b"").isdigit():
            raise UnreadableEntry("no number")
        return int(fields[b"n"])

    def handle(self, batch):
        if self.outages:
            self.outages -= 1
            raise OperationalError("away")
        if self.refuse & set(batch.events):
            raise DataError("refused")
        self.handled += batch.events
        return BatchResult(done=batch.entries)

    def acknowledge_args(self, event):
        return [event]


@pytest.fixture
def consumer(redis):
    return StreamConsumer(Collector(), redis)


def send(redis, *numbers):
    for n in numbers:
        redis.xadd("numbers", {"n": n, "secret": "spoken text"})


def drain(consumer):
    """Instead of `run`, which would look for database connections that these tests do not have."""
    while consumer.run_once(wait=False):
        pass


def leave_pending(redis, number=0):
    """Read a batch and end without handling it, as a killed process does."""
    StreamConsumer(Collector(), redis, number=number).read(wait=False)


def test_every_entry_is_handled_acknowledged_and_deleted_once(redis, consumer):
    send(redis, 1, 2, 3)

    drain(consumer)

    assert consumer.handler.handled == [1, 2, 3]
    assert redis.xlen("numbers") == 0
    assert redis.get("sum") == b"6"


def test_pending_entries_of_a_predecessor_come_first(redis):
    send(redis, 1)
    leave_pending(redis)
    send(redis, 2)

    successor = StreamConsumer(Collector(), redis)
    drain(successor)

    assert successor.handler.handled == [1, 2]


def test_acknowledging_twice_runs_the_consequences_once(redis, consumer):
    send(redis, 5)
    entries = consumer.read(wait=False).entries

    consumer.acknowledge(entries)
    consumer.acknowledge(entries)

    assert redis.get("sum") == b"5"


def test_an_outage_is_waited_out_and_counts_as_no_delivery(redis, consumer):
    send(redis, 1, 2)
    consumer.handler.outages = MAX_DELIVERIES + 3
    for _ in range(consumer.handler.outages):
        with pytest.raises(OperationalError):
            consumer.run_once(wait=False)

    drain(consumer)

    assert consumer.handler.handled == [1, 2]
    assert redis.xlen("dead:numbers") == 0


def test_a_batch_whose_acknowledgement_fails_is_acknowledged_later_and_not_handled_again(
    redis, consumer, monkeypatch
):
    send(redis, 1, 2)

    def unreachable(entries):
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(consumer, "acknowledge", unreachable)
        with pytest.raises(ConnectionError):
            consumer.run_once(wait=False)
    drain(consumer)

    assert consumer.handler.handled == [1, 2]
    assert redis.get("sum") == b"3"


def test_a_refused_entry_alone_becomes_a_dead_letter_with_its_reason_and_without_its_secret(redis, consumer):
    send(redis, 1, 2, 13, 3)
    consumer.handler.refuse = {13}

    drain(consumer)

    [(_, letter)] = redis.xrange("dead:numbers")
    assert sorted(consumer.handler.handled) == [1, 2, 3]
    assert (letter[b"n"], letter[b"reason"]) == (b"13", b"DataError")
    assert b"secret" not in letter
    assert redis.xlen("numbers") == 0


def test_an_unreadable_entry_becomes_a_dead_letter_and_the_rest_is_handled(redis, consumer):
    redis.xadd("numbers", {"n": "minus"})
    send(redis, 7)

    drain(consumer)

    assert consumer.handler.handled == [7]
    assert redis.xlen("dead:numbers") == 1


def test_a_batch_of_unreadable_entries_does_not_end_a_drain(redis, consumer):
    consumer.handler.batch_size = 1
    redis.xadd("numbers", {"n": "minus"})
    send(redis, 7)

    drain(consumer)

    assert consumer.handler.handled == [7]


def test_an_entry_that_ends_the_process_each_time_becomes_a_dead_letter_and_its_neighbours_survive(redis):
    send(redis, 1, 13, 2)
    handled = []

    class Fragile(Collector):
        def handle(self, batch):
            if 13 in batch.events:
                raise SystemExit
            handled.extend(batch.events)
            return BatchResult(done=batch.entries)

    for _ in range(MAX_DELIVERIES + 3):
        try:
            drain(StreamConsumer(Fragile(), redis))
        except SystemExit:
            continue
        break

    assert sorted(handled) == [1, 2]
    assert [letter[b"n"] for _, letter in redis.xrange("dead:numbers")] == [b"13"]


def test_a_lost_group_is_created_again_at_the_beginning_of_the_stream(redis, consumer):
    drain(consumer)
    redis.flushall()
    send(redis, 4)

    drain(consumer)

    assert consumer.handler.handled == [4]


def test_pending_entries_of_a_dead_consumer_are_claimed(redis, consumer, monkeypatch):
    monkeypatch.setattr("config.streams.consumer.CLAIM_IDLE_MS", 0)
    send(redis, 9)
    leave_pending(redis, number=1)

    drain(consumer)

    assert consumer.handler.handled == [9]
    assert CLAIM_IDLE_MS > 10_000


@pytest.fixture
def claims_at_once(monkeypatch):
    monkeypatch.setattr("config.streams.consumer.CLAIM_EVERY", 0.0)


def lose_acknowledgements(redis):
    """Stands for a restarted server that lost them: one entry is pending again, under the same name."""
    redis.xgroup_destroy("numbers", "collectors")
    redis.xgroup_create("numbers", "collectors", id="0")
    send(redis, 2)
    leave_pending(redis)


def test_entries_that_a_restarted_server_lists_as_pending_again_are_found_at_once(
    redis, consumer, claims_at_once
):
    send(redis, 1)
    consumer.lock = ConsumerLock("collectors-0")
    drain(consumer)
    lose_acknowledgements(redis)
    [holder] = [each for each in redis.client_list() if each["name"] == "consumer:collectors-0"]
    redis.client_kill_filter(_id=holder["id"])

    drain_through_outages(consumer)

    assert consumer.handler.handled == [1, 2]
    consumer.lock.close()


def drain_through_outages(consumer):
    for _ in range(5):
        with contextlib.suppress(ConnectionError):
            drain(consumer)


def test_without_a_lock_they_are_not_found_for_half_a_minute(redis, consumer, claims_at_once):
    """Shows that the test above can fail."""
    send(redis, 1)
    drain(consumer)
    lose_acknowledgements(redis)

    drain(consumer)

    assert consumer.handler.handled == [1]


def test_a_pending_entry_that_was_deleted_from_the_stream_is_passed_over(redis):
    send(redis, 1, 2)
    leave_pending(redis)
    redis.xdel("numbers", redis.xrange("numbers")[0][0])

    successor = StreamConsumer(Collector(), redis)
    drain(successor)

    assert successor.handler.handled == [2]
    assert redis.xpending("numbers", "collectors")["pending"] == 0


class Deferring(Collector):
    """Defers its first batch, and refuses one number of it when it is retried."""

    def __init__(self):
        super().__init__()
        self.held_back = []
        self.is_free = False

    def handle(self, batch):
        self.held_back.append(batch)
        return BatchResult()

    def retries(self):
        return list(self.held_back) if self.is_free else []

    def retry(self, batch):
        self.held_back.remove(batch)
        self.handled += batch.events
        return BatchResult(batch.entries[1:], [(batch.entries[0], "too late")])

    @property
    def deferred(self):
        return len(self.held_back)


def test_deferred_entries_stay_pending_until_they_are_retried(redis):
    consumer = StreamConsumer(Deferring(), redis)
    send(redis, 1, 2, 3)

    assert consumer.run_once(wait=False) == 4  # three entries, one deferred batch
    assert redis.xpending("numbers", "collectors")["pending"] == 3
    consumer.handler.is_free = True
    drain(consumer)

    assert consumer.handler.handled == [1, 2, 3]
    assert redis.xpending("numbers", "collectors")["pending"] == redis.xlen("numbers") == 0
    assert [letter[b"reason"] for _, letter in redis.xrange("dead:numbers")] == [b"too late"]


class Watching(Collector):
    """Notes which batches come with the rest of their stream, and when maintenance is due."""

    batch_size = 2

    def __init__(self):
        super().__init__()
        self.calls = []

    def handle(self, batch):
        self.calls.append(sorted(batch.drained))
        return super().handle(batch)

    def maintain(self):
        self.calls.append("maintain")


def test_a_batch_tells_which_streams_it_has_drained_and_maintenance_follows(redis):
    consumer = StreamConsumer(Watching(), redis)
    send(redis, 1, 2, 3)

    drain(consumer)

    assert consumer.handler.calls == [[], ["numbers"], "maintain"]


def test_a_batch_that_is_handled_again_has_drained_no_stream(redis):
    consumer = StreamConsumer(Watching(), redis)
    send(redis, 1)
    consumer.handler.outages = 1
    with pytest.raises(OperationalError):
        consumer.run_once(wait=False)

    drain(consumer)

    assert consumer.handler.calls == [["numbers"], [], "maintain"]


class OneRest(StopFlag):
    """Ends the loop at its first rest, and records how long that would have been."""

    rested = None

    def sleep(self, seconds):
        self.rested = seconds
        self.is_set = True


@pytest.mark.django_db
def test_a_consumer_rests_after_a_batch_that_is_not_full(redis, consumer):
    consumer.handler.pause, consumer.handler.batch_size = 7.5, 2
    send(redis, 1, 2, 3)
    stop = OneRest()

    consumer.run(stop)

    assert consumer.handler.handled == [1, 2, 3]
    assert stop.rested == 7.5


@pytest.mark.django_db
def test_a_draining_consumer_does_not_rest(redis, consumer):
    consumer.handler.pause = 7.5
    send(redis, 1)
    stop = OneRest()

    consumer.run(stop, drain=True)

    assert consumer.handler.handled == [1]
    assert stop.rested is None
