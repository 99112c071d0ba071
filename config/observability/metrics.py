"""Prometheus metrics: declared by modules, served by each process on one port.

Labels have few values: never a user, a hash or a text.
"""

import logging
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram, start_http_server

logger = logging.getLogger(__name__)

PREFIX = "yapit"
# Buckets in seconds, from a look-up in memory to a request that has timed out.
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
    """Serve metrics on the loopback address, in a thread. 0: none. A taken port is only logged."""
    if port == 0:
        return
    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError:
        logger.warning("This process serves no metrics: port %d is taken", port)
