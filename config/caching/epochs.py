"""Epochs: version numbers in Redis by which a process notices changes whose event it missed.

An epoch is only compared for equality with an earlier reading. It is not a plain counter: one that expired,
or was lost with the data of Redis, would start again and repeat numbers that a process may remember. A new
epoch therefore starts at the time in microseconds, so no number is ever repeated.

An epoch expires EPOCH_SECONDS after the last change. A process that remembers it then reads 0, which differs,
and reloads once too often. A change is missed only by a process that read 0, then missed the event and
compared no epoch for all of that time; no cache or connection lives longer than a day.
"""

import re
from collections.abc import Sequence
from typing import Any

from redis import exceptions as redis_errors

from config.caching import events
from config.caching.groups import wakes
from config.redis import clients as redis_clients
from config.redis import scripts
from config.redis.multiplexed import MultiplexedConnection

EPOCH_SECONDS = 7 * 24 * 3600
KIND = re.compile(r"[a-z][a-z_-]{0,30}")
SUBJECT = re.compile(r"[A-Za-z0-9._@/-]{1,100}")

# One script, so that the new epoch is readable when the event arrives, on the bus and in groups. The clock is
# that of Redis. When a lost reply causes a repetition, epochs are raised twice, which does no harm.
BUMP = scripts.Script(
    """
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
    local raised = {}
    for i, key in ipairs(KEYS) do
        local epoch = math.max(now, tonumber(redis.call('GET', key) or '0') + 1)
        redis.call('SET', key, string.format('%.0f', epoch), 'EX', ARGV[1])
        raised[i] = epoch
    end
    if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
    for i = 4, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
    return raised
    """
)

Subject = int | str


def bump(kind: str, subject: Subject) -> int:
    """Raise the epoch and publish the event `kind:subject`. Call it after the commit.

    Raises RedisError; the change then goes unnoticed unless the caller repeats the call.
    """
    with redis_clients.sync() as client:
        return int(scripts.run(client, _bump([epoch_key(kind, subject)]))[0])


async def abump(kind: str, subject: Subject) -> int:
    return int((await scripts.arun(redis_clients.hot(), _bump([epoch_key(kind, subject)])))[0])


def announce(*names: str) -> bool:
    """Raise the epochs of these events, `kind:subject`, and publish them. Call it after the commit.

    Returns False when Redis is unavailable. Callers need not fail: cached values expire by themselves.
    """
    return _announce(names, is_on_bus=True)


def announce_to_groups(*names: str) -> bool:
    """Like `announce`, but only connections that follow the subject learn of it: no cache depends on it."""
    return _announce(names, is_on_bus=False)


def _announce(names: Sequence[str], *, is_on_bus: bool) -> bool:
    keys = [epoch_key(*name.split(":", 1)) for name in names]
    try:
        with redis_clients.sync() as client:
            for start in range(0, len(keys), events.EVENTS_IN_MESSAGE):
                part = keys[start : start + events.EVENTS_IN_MESSAGE]
                scripts.run(client, _bump(part, is_on_bus=is_on_bus))
    except redis_errors.RedisError as error:
        return events.lost(len(names), error)
    return True


def epoch(kind: str, subject: Subject) -> int:
    """The current epoch; 0 after EPOCH_SECONDS without a change."""
    with redis_clients.sync() as client:
        return _number(client.get(epoch_key(kind, subject)))


async def aepoch(kind: str, subject: Subject) -> int:
    return _number(await redis_clients.hot().get(epoch_key(kind, subject)))


async def aepochs(kind: str, subjects: Sequence[Subject]) -> list[int]:
    """The epochs of many subjects in one round trip, in their order."""
    if not subjects:
        return []
    values: Any = await redis_clients.hot().mget([epoch_key(kind, subject) for subject in subjects])
    return [_number(value) for value in values]


async def aepochs_of(link: MultiplexedConnection, names: Sequence[str]) -> list[int]:
    """The epochs of events, `kind:subject`, in one round trip over this connection, in their order."""
    if not names:
        return []
    values = await link.execute("MGET", *(epoch_key(*name.split(":", 1)) for name in names))
    return [_number(value) for value in values]


def _bump(keys: Sequence[str], *, is_on_bus: bool = True) -> scripts.ScriptCall:
    names = [key.removeprefix("epoch:") for key in keys]
    (message,) = events.messages(names) if is_on_bus else (b"",)
    return BUMP.call(EPOCH_SECONDS, events.CHANNEL, message, *wakes(names), keys=keys)


def epoch_key(kind: str, subject: Subject) -> str:
    if not KIND.fullmatch(kind) or not SUBJECT.fullmatch(str(subject)):
        raise ValueError("An epoch is named by a kind and a subject, in plain letters and digits.")
    return f"epoch:{kind}:{subject}"


def _number(value: Any) -> int:
    return int(value) if value is not None else 0
