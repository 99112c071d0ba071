"""Caches that are told when something changed. Knows no domain.

`MemoryCache` keeps what was fetched, one fetch for all who ask at once. `subscribe` and `listen` hear what
`publish` says in any process. `bump` says it and leaves an epoch behind, for those who did not hear it.
"""

from config.caching.bus import Bus, listen, stop_listening, subscribe
from config.caching.epochs import abump, aepoch, aepochs, bump, epoch
from config.caching.events import apublish, publish
from config.caching.flight import MISSING, FetchAbandoned, Flights
from config.caching.memory import MemoryCache, caches

__all__ = [
    "MISSING",
    "Bus",
    "FetchAbandoned",
    "Flights",
    "MemoryCache",
    "abump",
    "aepoch",
    "aepochs",
    "apublish",
    "bump",
    "caches",
    "epoch",
    "listen",
    "publish",
    "stop_listening",
    "subscribe",
]
