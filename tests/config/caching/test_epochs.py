"""Epochs: raised by each change, never repeated, and expiring after no process can remember them."""

import pytest

from config import caching
from config.caching import epochs
from config.redis import clients as redis_clients
from tests.config.caching.crowds import RUNS, THREADS, in_threads


def test_a_subject_without_changes_has_no_epoch(redis):
    assert caching.epoch("credit", 5) == 0
    assert redis.keys("*") == []


def test_each_change_raises_it(redis):
    raised = [caching.bump("credit", 5) for _ in range(5)]

    assert raised == sorted(set(raised))
    assert caching.epoch("credit", 5) == raised[-1] > 0
    assert caching.epoch("credit", 6) == 0


async def test_the_event_loop_reads_and_raises_the_same(async_redis):
    first = await caching.abump("credit", 1)
    second = await caching.abump("credit", "a@b.example")

    assert await caching.aepoch("credit", 1) == first
    assert await caching.aepochs("credit", [1, 2, "a@b.example"]) == [first, 0, second]
    assert await caching.aepochs("credit", []) == []


def test_an_epoch_expires_days_after_the_last_change(redis):
    caching.bump("credit", 5)
    redis.expire("epoch:credit:5", 10)
    caching.bump("credit", 5)

    assert 6 * 24 * 3600 < redis.ttl("epoch:credit:5") <= epochs.EPOCH_SECONDS


def test_concurrent_changes_all_count(redis):
    raised = in_threads(lambda: [caching.bump("credit", 5) for _ in range(RUNS)])

    assert len({number for numbers in raised for number in numbers}) == THREADS * RUNS


def test_no_epoch_is_repeated_after_redis_was_emptied(redis):
    remembered = caching.bump("credit", 5)
    redis.flushall()

    assert caching.epoch("credit", 5) != remembered
    assert caching.bump("credit", 5) > remembered


def test_control_a_plain_counter_repeats_numbers(redis):
    remembered = redis.incr("epoch:credit:5")
    redis.flushall()

    assert redis.incr("epoch:credit:5") == remembered


def test_an_epoch_grows_when_the_clock_is_set_back(redis):
    ahead = caching.bump("credit", 5) + 10**12
    redis.set("epoch:credit:5", ahead)

    assert caching.bump("credit", 5) == ahead + 1


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("", 5),
        ("Credit", 5),
        ("a:b", 5),
        ("credit", ""),
        ("credit", "a b"),
        ("credit", "*"),
        ("credit", "a:b"),
    ],
)
def test_an_ambiguous_name_is_refused(kind, subject):
    with pytest.raises(ValueError, match="epoch"):
        caching.bump(kind, subject)


def test_without_redis_raising_an_epoch_is_an_error(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    with pytest.raises(redis_clients.redis.RedisError):
        caching.bump("credit", 5)
