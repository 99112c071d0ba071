"""Consumers of Redis streams: the loop, the contract of its handlers, dead letters, and consumer locks.

A room implements `Handler` and runs it with `StreamConsumer`, usually from a `StreamCommand`. Entries that
cannot be handled become dead letters (`config.streams.dead_letters`), which operators replay or drop.
"""

from config.streams.brake import Braked
from config.streams.command import EX_DATAERR, EX_TEMPFAIL, StreamCommand
from config.streams.consumer import MAX_DELIVERIES, StreamConsumer
from config.streams.consumer_lock import ConsumerLock, ConsumerLockTaken
from config.streams.handler import (
    REFUSALS,
    Batch,
    BatchResult,
    Fields,
    Handler,
    StreamEntry,
    UnreadableEntry,
    reason_of,
)
from config.streams.stop_flag import StopFlag

__all__ = [
    "EX_DATAERR",
    "EX_TEMPFAIL",
    "MAX_DELIVERIES",
    "REFUSALS",
    "Batch",
    "BatchResult",
    "Braked",
    "ConsumerLock",
    "ConsumerLockTaken",
    "Fields",
    "Handler",
    "StopFlag",
    "StreamCommand",
    "StreamConsumer",
    "StreamEntry",
    "UnreadableEntry",
    "dead_letters",
    "reason_of",
]
