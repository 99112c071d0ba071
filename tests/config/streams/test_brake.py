"""The brake on dead letters: a consumer that would refuse most of its stream stops, and loses nothing."""

import logging

import pytest
from django.core.management import CommandError
from prometheus_client import REGISTRY

from config.observability import health
from config.streams import (
    EX_DATAERR,
    MAX_DELIVERIES,
    BatchResult,
    Braked,
    Handler,
    StopFlag,
    StreamCommand,
    StreamConsumer,
    UnreadableEntry,
)
from config.streams import consumer as consumer_module
from config.streams.brake import MOST_SOURCES, WINDOW_SECONDS, Brake

MANY = MOST_SOURCES + 1


class Payments(Handler[bytes]):
    """Refuses entries while `is_broken`; an entry "x" is never readable."""

    streams = ("payments",)
    group = "payments"
    is_broken = False

    def __init__(self):
        self.handled = []

    def parse(self, stream, fields):
        if fields[b"what"] == b"x":
            raise UnreadableEntry("x")
        return fields[b"what"]

    def source(self, fields):
        return fields.get(b"user")

    def handle(self, batch):
        if self.is_broken:
            return BatchResult(refused=[(entry, "broken") for entry in batch.entries])
        self.handled += batch.events
        return BatchResult(done=batch.entries)


@pytest.fixture
def consumer(redis, monkeypatch):
    monkeypatch.setattr(consumer_module, "close_old_connections", lambda: None)
    monkeypatch.setattr(consumer_module, "BRAKE_SECONDS", 0.01)
    return StreamConsumer(Payments(), redis)


def send(redis, users, what="y"):
    for user in users:
        redis.xadd("payments", {"user": user, "what": what})


def drain(consumer):
    while consumer.run_once(wait=False):
        pass


def letters(redis):
    return redis.xlen("dead:payments")


@pytest.mark.parametrize("what", ["refused", "unreadable"])
def test_entries_of_many_accounts_are_kept_instead_of_refused(redis, consumer, what):
    consumer.handler.is_broken = what == "refused"
    send(redis, range(MANY), "x" if what == "unreadable" else "y")

    with pytest.raises(Braked, match=f"{MANY} accounts"):
        drain(consumer)

    assert (letters(redis), redis.xlen("payments")) == (0, MANY)


def test_one_account_counts_once(redis, consumer):
    send(redis, ["ann"] * 3 * MANY, "x")

    drain(consumer)

    assert letters(redis) == 3 * MANY


def test_a_few_accounts_are_not_many(redis, consumer):
    send(redis, range(MOST_SOURCES), "x")

    drain(consumer)

    assert letters(redis) == MOST_SOURCES


def test_a_smaller_part_of_a_busy_stream_is_refused(redis, consumer):
    for user in range(2 * MANY):
        send(redis, [user], "x" if user % 2 else "y")

    drain(consumer)

    assert (letters(redis), len(consumer.handler.handled)) == (MANY, MANY)


def refuse_one_by_one(users, seconds):
    """Refuse an entry of each account, with this time between two of them."""
    now = [0.0]
    brake = Brake(lambda: now[0])
    for user in range(users):
        brake.count_handled(1)
        brake.allow([b"%d" % user])
        now[0] += seconds


def test_only_the_last_minute_is_remembered():
    now = [0.0]
    brake = Brake(lambda: now[0])
    for _ in range(1000):
        now[0] += WINDOW_SECONDS / 10
        brake.count_handled(1)
        brake.count_handled(0)

    assert len(brake) <= 11


def test_the_last_minute_counts():
    refuse_one_by_one(3 * MANY, seconds=2 * WINDOW_SECONDS / MANY)


def test_within_a_minute_they_would_be_too_many():
    with pytest.raises(Braked):
        refuse_one_by_one(3 * MANY, seconds=0)


def test_the_consumer_goes_on_when_the_cause_is_gone(redis, consumer, caplog):
    consumer.handler.is_broken = True
    send(redis, range(MANY))
    attempts, stop = [], FlagOfAttempts()
    stop.consumer, stop.attempts = consumer, attempts

    with caplog.at_level(logging.WARNING):
        consumer.run(stop)

    assert len(attempts) > MAX_DELIVERIES  # each of which was a delivery
    assert set(attempts) == {(0, MANY, 1.0, (b"payments-0",))}
    assert len(consumer.handler.handled) == MANY
    assert (letters(redis), redis.xlen("payments")) == (0, 0)
    assert metric() == 0.0
    assert not redis.exists("stopped-consumers")
    assert "payments-0 stopped: 51 accounts or workers, of 51 entries" in caplog.text
    assert "payments-0 goes on" in caplog.text


class FlagOfAttempts(StopFlag):
    """Looks at every surface instead of sleeping. Repairs the handler after some attempts, then stops."""

    def sleep(self, seconds):
        redis = self.consumer.redis
        if self.consumer.handler.handled:
            self.is_set = True
            return
        marks = tuple(redis.hkeys("stopped-consumers"))
        surfaces = (letters(redis), redis.xlen("payments"), metric(), marks)
        self.attempts.append(surfaces)
        self.consumer.handler.is_broken = len(self.attempts) <= MAX_DELIVERIES


def metric():
    return REGISTRY.get_sample_value("yapit_stream_stopped", {"consumer": "payments-0"})


def test_a_restart_by_an_operator_judges_anew(redis, consumer):
    send(redis, range(MANY), "x")
    with pytest.raises(Braked):
        drain(consumer)
    send(redis, range(2 * MANY))

    restarted = StreamConsumer(Payments(), redis)
    restarted.brake.count_handled(2 * MANY)  # as after good entries
    drain(restarted)

    assert (letters(redis), len(restarted.handler.handled)) == (MANY, 2 * MANY)


def test_entries_already_handled_are_acknowledged(redis, consumer, monkeypatch):
    def handle(batch):
        return BatchResult(done=batch.entries[:1], refused=[(entry, "no") for entry in batch.entries[1:]])

    monkeypatch.setattr(consumer.handler, "handle", handle)
    send(redis, range(MANY + 1))

    with pytest.raises(Braked):
        consumer.run_once(wait=False)

    assert redis.xlen("payments") == MANY


def test_a_command_that_ends_with_its_brake_pulled_says_so_by_its_exit_code(redis, consumer, monkeypatch):
    class Command(StreamCommand):
        def make_handler(self, redis):
            return Payments()

    monkeypatch.setattr(StopFlag, "listen", lambda self: self)
    send(redis, range(MANY), "x")

    with pytest.raises(CommandError, match="brake pulled") as caught:
        Command().handle(drain=True, number=0)

    assert caught.value.returncode == EX_DATAERR
    assert redis.xlen("payments") == MANY


async def test_health_names_stopped_consumers_and_stays_ok(rf, async_redis):
    await async_redis.hset("stopped-consumers", "billing-0", "1")
    health.forget()

    response = await health.health(rf.get("/health"))

    assert response.status_code == 200
    assert b'"stopped_consumers": ["billing-0"]' in response.content
    await async_redis.delete("stopped-consumers")
    health.forget()
    assert b"stopped" not in (await health.health(rf.get("/health"))).content
