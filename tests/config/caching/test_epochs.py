"""Epochs: raised with each change, never the same number twice, and gone when nobody can remember them."""

import pytest

from config import caching
from config.caching import epochs
from config.redis import clients as redis_clients
from tests.config.caching.crowds import RUNS, THREADS, in_threads


def test_what_never_changed_has_no_epoch(redis):
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


def test_each_expires_long_after_the_last_change(redis):
    caching.bump("credit", 5)
    redis.expire("epoch:credit:5", 10)
    caching.bump("credit", 5)

    assert 6 * 24 * 3600 < redis.ttl("epoch:credit:5") <= epochs.EPOCH_SECONDS


def test_changes_at_the_same_moment_all_count(redis):
    raised = in_threads(lambda: [caching.bump("credit", 5) for _ in range(RUNS)])

    assert len({number for numbers in raised for number in numbers}) == THREADS * RUNS


def test_a_redis_that_was_emptied_never_comes_by_a_number_again(redis):
    remembered = caching.bump("credit", 5)
    redis.flushall()

    assert caching.epoch("credit", 5) != remembered
    assert caching.bump("credit", 5) > remembered


def test_control_a_plain_counter_comes_by_the_same_number_again(redis):
    remembered = redis.incr("epoch:credit:5")
    redis.flushall()

    assert redis.incr("epoch:credit:5") == remembered


def test_a_clock_that_was_set_back_does_not_set_back_an_epoch(redis):
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
def test_a_name_that_could_mean_something_else_is_refused(kind, subject):
    with pytest.raises(ValueError, match="epoch"):
        caching.bump(kind, subject)


def test_who_raises_it_hears_when_redis_is_away(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    with pytest.raises(redis_clients.redis.RedisError):
        caching.bump("credit", 5)
