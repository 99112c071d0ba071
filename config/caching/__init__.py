"""Caches with single flight and invalidation over Redis. Independent of the apps.

`MemoryCache` keeps values of this process; `RowCache` is one that follows events; `TtlResponseCache` keeps
response bodies that are built once for all processes. `subscribe` and `listen` receive the events that
`publish` sends in any process; `announce` and `bump` also raise an epoch, by which a missed event is noticed,
and wake the group of the channel layer that follows the subject.
"""

from config.caching.bus import Bus, listen, stop_listening, subscribe
from config.caching.clearing import all_caches, clear, flush_all
from config.caching.epochs import (
    abump,
    aepoch,
    aepochs,
    aepochs_of,
    announce,
    announce_to_groups,
    bump,
    epoch,
    epoch_key,
)
from config.caching.events import apublish, publish
from config.caching.flight import MISSING, FetchAbandoned, Flights
from config.caching.groups import group_of
from config.caching.memory import MemoryCache, caches
from config.caching.response import Body, TtlResponseCache, response_caches
from config.caching.row_cache import RowCache

__all__ = [
    "MISSING",
    "Body",
    "Bus",
    "FetchAbandoned",
    "Flights",
    "MemoryCache",
    "RowCache",
    "TtlResponseCache",
    "abump",
    "aepoch",
    "aepochs",
    "aepochs_of",
    "all_caches",
    "announce",
    "announce_to_groups",
    "apublish",
    "bump",
    "caches",
    "clear",
    "epoch",
    "epoch_key",
    "figures",
    "flush_all",
    "group_of",
    "listen",
    "publish",
    "response_caches",
    "stop_listening",
    "subscribe",
]
