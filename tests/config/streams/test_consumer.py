"""The consumer loop, on a real Valkey: nothing is lost, nothing stops the line."""

import pytest
from django.db import DataError, OperationalError
from redis.exceptions import ConnectionError

from config.streams.consumer import (
    CLAIM_IDLE_MS,
    MAX_DELIVERIES,
    StopFlag,
    StreamConsumer,
    UnreadableEntry,
)
from config.streams.consumer_lock import ConsumerLock


class Collector(StreamConsumer[int]):
    streams = ("numbers",)
    group = "collectors"
    follow_up = "redis.call('INCRBY', 'sum', args[1])"
    private_fields = frozenset({b"secret"})

    def __init__(self, redis, number=0):
        super().__init__(redis, number=number)
        self.seen = []
        self.refuse = set()
        self.outages = 0

    def parse(self, stream, fields):
        if not fields.get(b"n", b"").isdigit():
            raise UnreadableEntry("no number")
        return int(fields[b"n"])

    def handle(self, events):
        if self.outages:
            self.outages -= 1
            raise OperationalError("away")
        if self.refuse & set(events):
            raise DataError("refused")
        self.seen += events

    def settle_args(self, event):
        return [event]


@pytest.fixture
def collector(redis):
    return Collector(redis)


def send(redis, *numbers):
    for n in numbers:
        redis.xadd("numbers", {"n": n, "secret": "spoken text"})


def drain(collector):
    """Not `run`, which would look after database connections that these tests do not have."""
    while collector.run_once(wait=False):
        pass


def test_every_entry_is_handled_once_and_deleted_with_what_follows_from_it(redis, collector):
    send(redis, 1, 2, 3)

    drain(collector)

    assert collector.seen == [1, 2, 3]
    assert redis.xlen("numbers") == 0
    assert redis.get("sum") == b"6"


def test_what_a_predecessor_left_comes_first(redis, collector):
    send(redis, 1)
    collector._take(wait=False)
    send(redis, 2)

    successor = Collector(redis)
    drain(successor)

    assert successor.seen == [1, 2]


def test_letting_go_twice_follows_up_once(redis, collector):
    send(redis, 5)
    entries = collector._take(wait=False)

    collector.settle(entries)
    collector.settle(entries)

    assert redis.get("sum") == b"5"


def test_an_outage_is_waited_out_and_counts_as_no_delivery(redis, collector):
    send(redis, 1, 2)
    collector.outages = MAX_DELIVERIES + 3
    for _ in range(collector.outages):
        with pytest.raises(OperationalError):
            collector.run_once(wait=False)

    drain(collector)

    assert collector.seen == [1, 2]
    assert redis.xlen("dead:numbers") == 0


def test_a_refused_entry_is_buried_alone_with_its_reason_and_without_its_secret(redis, collector):
    send(redis, 1, 2, 13, 3)
    collector.refuse = {13}

    drain(collector)

    [(_, letter)] = redis.xrange("dead:numbers")
    assert sorted(collector.seen) == [1, 2, 3]
    assert (letter[b"n"], letter[b"reason"]) == (b"13", b"DataError")
    assert b"secret" not in letter
    assert redis.xlen("numbers") == 0


def test_an_unreadable_entry_is_buried_and_the_rest_handled(redis, collector):
    redis.xadd("numbers", {"n": "minus"})
    send(redis, 7)

    drain(collector)

    assert collector.seen == [7]
    assert redis.xlen("dead:numbers") == 1


def test_a_batch_of_nothing_readable_is_not_the_end_of_the_stream(redis, collector):
    collector.batch_size = 1
    redis.xadd("numbers", {"n": "minus"})
    send(redis, 7)

    drain(collector)

    assert collector.seen == [7]


def test_an_entry_that_ends_the_process_each_time_is_buried_and_its_neighbours_survive(redis):
    send(redis, 1, 13, 2)
    seen = []

    class Fragile(Collector):
        def handle(self, events):
            if 13 in events:
                raise SystemExit
            seen.extend(events)

    for _ in range(MAX_DELIVERIES + 3):
        try:
            drain(Fragile(redis))
        except SystemExit:
            continue
        break

    assert sorted(seen) == [1, 2]
    assert [letter[b"n"] for _, letter in redis.xrange("dead:numbers")] == [b"13"]


def test_a_lost_group_is_made_anew_at_the_beginning(redis, collector):
    drain(collector)
    redis.flushall()
    send(redis, 4)

    drain(collector)

    assert collector.seen == [4]


def test_what_a_dead_consumer_holds_is_claimed(redis, collector, monkeypatch):
    monkeypatch.setattr("config.streams.consumer.CLAIM_IDLE_MS", 0)
    send(redis, 9)
    Collector(redis, number=1)._take(wait=False)

    drain(collector)

    assert collector.seen == [9]
    assert CLAIM_IDLE_MS > 10_000


def test_what_a_server_took_back_is_found_at_once(redis, collector, settings):
    """It came back without the last acknowledgements: they are open again, under our name."""
    send(redis, 1)
    collector.place = ConsumerLock("collectors-0")
    drain(collector)
    redis.xgroup_destroy("numbers", "collectors")
    send(redis, 2)
    Collector(redis)._create_groups()
    Collector(redis)._take(wait=False)
    redis.client_kill_filter(_id=collector.place._client.client_id())

    collector._claimed_at = 0.0
    drain_through_outages(collector)

    assert collector.seen == [1, 2]
    collector.place.close()


def drain_through_outages(collector):
    for _ in range(5):
        try:
            drain(collector)
        except ConnectionError:
            collector.backlog = True  # as `run` does


def test_without_a_look_at_the_connection_it_is_not_found_for_half_a_minute(redis, collector):
    """Shows that the test above can fail."""
    send(redis, 1)
    drain(collector)
    redis.xgroup_destroy("numbers", "collectors")
    send(redis, 2)
    Collector(redis)._create_groups()
    Collector(redis)._take(wait=False)

    collector._claimed_at = 0.0
    drain(collector)

    assert collector.seen == [1]


def test_a_deleted_entry_that_is_still_pending_does_not_stop_the_line(redis, collector):
    send(redis, 1, 2)
    collector._take(wait=False)
    redis.xdel("numbers", redis.xrange("numbers")[0][0])

    successor = Collector(redis)
    drain(successor)

    assert successor.seen == [2]
    assert redis.xpending("numbers", "collectors")["pending"] == 0


class OneRest(StopFlag):
    """Ends the loop when it rests, and tells for how long it would have."""

    rested = None

    def sleep(self, seconds):
        self.rested = seconds
        self.is_set = True


@pytest.mark.django_db
def test_after_a_batch_that_is_not_full_a_consumer_may_rest(redis, collector):
    collector.pause, collector.batch_size = 7.5, 2
    send(redis, 1, 2, 3)
    stop = OneRest()

    collector.run(stop)

    assert collector.seen == [1, 2, 3]
    assert stop.rested == 7.5


@pytest.mark.django_db
def test_a_consumer_that_is_told_to_empty_its_stream_does_not_rest(redis, collector):
    collector.pause = 7.5
    send(redis, 1)
    stop = OneRest()

    collector.run(stop, drain=True)

    assert collector.seen == [1]
    assert stop.rested is None
