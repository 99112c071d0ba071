"""Metrics of the billing backlog."""

from billing.usage import backlog
from tests.billing.usage_events import make_fields


def shown(gauge) -> float:
    return gauge.collect()[0].samples[0].value


def test_depth_and_age_are_those_of_the_stream(redis):
    seconds, _ = redis.time()
    for age in (90, 30):
        redis.xadd("billing", make_fields(), id=f"{(seconds - age) * 1000}-0")

    backlog.measure(redis)

    assert shown(backlog.DEPTH) == 2
    assert 90 <= shown(backlog.AGE) < 120


def test_an_empty_stream_has_neither_depth_nor_age(redis):
    backlog.measure(redis)

    assert (shown(backlog.DEPTH), shown(backlog.AGE)) == (0, 0)
