"""Cache events over Redis: the channel, the message format, and publishing.

An event is a short name such as `catalog` or `credit:42`. It says that something changed and carries no
value: events may be lost, and none is secret.
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
EVENT = r"[a-z][!-)+-~]{0,199}"  # no spaces, and no asterisk, which is the wildcard of subscriptions
EVENTS_IN_MESSAGE = 1000

LOST = metrics.counter("cache_events_lost", "Events that could not be published")

Event = Annotated[str, msgspec.Meta(pattern=rf"\A{EVENT}\Z")]
_decoder = msgspec.json.Decoder(Annotated[list[Event], msgspec.Meta(max_length=EVENTS_IN_MESSAGE)])
_is_event = re.compile(EVENT).fullmatch


class Malformed(Exception):
    """The payload is not a list of events."""


def publish(*events: str) -> bool:
    """Publish events to every process, including this one. Call it after the commit.

    Returns False when Redis is unavailable. Callers need not fail: cached values expire by themselves.
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
    """Like `publish`, for the event loop."""
    payloads = list(messages(events))
    try:
        for payload in payloads:
            await redis_clients.hot().publish(CHANNEL, payload)
    except redis_errors.RedisError as error:
        return lost(len(events), error)
    return True


def messages(events: Iterable[str]) -> Iterator[bytes]:
    """Payloads with up to EVENTS_IN_MESSAGE events each."""
    left = iter(events)
    while batch := list(islice(left, EVENTS_IN_MESSAGE)):
        for event in batch:
            if not _is_event(event):
                raise ValueError("An event is a short name in printable ASCII, without spaces and asterisks.")
        yield msgspec.json.encode(batch)


def read(payload: bytes) -> Sequence[str]:
    """The events of a payload. Raises Malformed."""
    try:
        events: Sequence[str] = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed from error
    return events


def lost(count: int, error: redis_errors.RedisError) -> bool:
    LOST.inc(count)
    logger.warning("%d cache events could not be published: %s", count, type(error).__name__)
    return False
