"""What caches are told over Redis: the channel, the form of a message, and those who send one.

An event is a short name such as `catalog` or `credit:42`. It says that something changed, never what it is
now: any of it may be lost, and none of it is secret.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated

import msgspec
from redis import exceptions as redis_errors

from config.observability import metrics
from config.redis import clients as redis_clients

logger = logging.getLogger(__name__)

CHANNEL = "changed"
EVENT = r"[a-z][!-)+-~]{0,199}"  # no space; no asterisk, which means all in a subscription
EVENTS_IN_MESSAGE = 1000

LOST = metrics.counter("cache_events_lost", "Events that Redis did not take")

Event = Annotated[str, msgspec.Meta(pattern=rf"\A{EVENT}\Z")]
_decoder = msgspec.json.Decoder(Annotated[list[Event], msgspec.Meta(max_length=EVENTS_IN_MESSAGE)])
_is_event = re.compile(EVENT).fullmatch


class Malformed(Exception):
    """Not a message of ours."""


def publish(*events: str) -> bool:
    """Tell every process, this one too. Call it after the commit. False: Redis is away, and nobody was told.

    That is no reason to fail: each cache forgets by itself in time.
    """
    payloads = list(messages(events))
    try:
        with redis_clients.sync() as client:
            for payload in payloads:
                client.publish(CHANNEL, payload)
    except redis_errors.RedisError as error:
        return lost(len(events), error)
    return True


async def apublish(*events: str) -> bool:
    """The same from the event loop."""
    payloads = list(messages(events))
    try:
        for payload in payloads:
            await redis_clients.hot().publish(CHANNEL, payload)
    except redis_errors.RedisError as error:
        return lost(len(events), error)
    return True


def messages(events: Iterable[str]) -> Iterator[bytes]:
    """As few as can carry them."""
    left = iter(events)
    while batch := list(islice(left, EVENTS_IN_MESSAGE)):
        for event in batch:
            if not _is_event(event):
                raise ValueError("An event is a short name in printable ASCII, without spaces and asterisks.")
        yield msgspec.json.encode(batch)


def read(payload: bytes) -> Sequence[str]:
    """Raises Malformed for whatever else there is on the channel."""
    try:
        events: Sequence[str] = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed from error
    return events


def lost(count: int, error: redis_errors.RedisError) -> bool:
    LOST.inc(count)
    logger.warning("Caches were not told of %d changes: %s", count, type(error).__name__)
    return False
