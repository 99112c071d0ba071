"""Counters and histograms: a module declares its own with these, a process serves all of its own on one port.

Labels are few and bounded: never a user, a hash, a text.
"""

import logging
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram, start_http_server

logger = logging.getLogger(__name__)

PREFIX = "yapit"
# Seconds, from a look-up in memory to a request that nobody waits for any more.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


def counter(name: str, about: str, labels: Sequence[str] = ()) -> Counter:
    return Counter(name, about, labels, namespace=PREFIX)


def gauge(name: str, about: str, labels: Sequence[str] = ()) -> Gauge:
    return Gauge(name, about, labels, namespace=PREFIX)


def histogram(
    name: str, about: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
) -> Histogram:
    return Histogram(name, about, labels, namespace=PREFIX, buckets=tuple(buckets))


def serve(port: int) -> None:
    """Answer this machine's scraper from a thread of its own; 0: no. A taken port costs only the metrics."""
    if port == 0:
        return
    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError:
        logger.warning("no metrics from this process: port %d is taken", port)
