"""A memory that is bounded in entries and in time."""

from yapit.expiring import ExpiringCache


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_an_entry_is_forgotten_when_its_time_is_over():
    clock = Clock()
    cache = ExpiringCache(10, 30, clock)
    cache.put("a", 1)

    clock.now += 29.9
    assert cache.get("a") == 1
    clock.now += 0.1
    assert cache.get("a") is None


def test_an_entry_may_end_earlier_and_never_later():
    clock = Clock()
    cache = ExpiringCache(10, 30, clock)
    cache.put("short", 1, 5)
    cache.put("long", 1, 500)

    clock.now += 10
    assert (cache.get("short"), cache.get("long")) == (None, 1)
    clock.now += 20
    assert cache.get("long") is None


def test_the_oldest_entry_makes_room():
    cache = ExpiringCache(2, 30)
    for number in range(5):
        cache.put(number, number)

    assert [cache.get(number) for number in range(5)] == [None, None, None, 3, 4]
