"""Metrics of the billing backlog: its length and age. Run by the scheduler, so also while billing is down."""

from typing import Any

from redis import Redis

from billing.redis_keys import USAGE_STREAM
from config.observability import metrics

DEPTH = metrics.gauge("billing_backlog_entries", "Entries in the stream, charged ones not counted")
AGE = metrics.gauge("billing_backlog_seconds", "Age of the oldest entry in the stream")


def measure(redis: Redis) -> None:
    """Set both gauges, without the database."""
    oldest: Any = redis.xrange(USAGE_STREAM, count=1)
    seconds, _ = redis.time()
    DEPTH.set(redis.xlen(USAGE_STREAM))
    AGE.set(max(0.0, seconds - int(oldest[0][0].partition(b"-")[0]) / 1000) if oldest else 0)
