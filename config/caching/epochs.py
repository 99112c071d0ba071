"""How often something changed, in Redis: who remembers an epoch sees by comparing it that a bell was missed.

An epoch is only ever compared for equality with one that was read before. It is no plain count: a counter
that expired, or went with an emptied Redis, would begin again and come by numbers that somebody remembers. So
a new one begins with the time in microseconds, and no number ever comes twice.

It expires EPOCH_SECONDS after the last change. Who read it before and looks again finds 0, which differs, and
reads anew: one reading too many. Only who found none, then slept through a change and all of these days would
miss it; no cache or connection lives longer than one day.
"""

import re
from collections.abc import Sequence
from typing import Any

from redis import exceptions as redis_errors

from config.caching import events
from config.redis import clients as redis_clients
from config.redis import scripts

EPOCH_SECONDS = 7 * 24 * 3600
KIND = re.compile(r"[a-z][a-z_-]{0,30}")
SUBJECT = re.compile(r"[A-Za-z0-9._@/-]{1,100}")

# One script, so that whoever hears the bell finds the new epoch. Redis' clock, not ours. A repetition after a
# lost answer raises them twice, which nobody minds.
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
    redis.call('PUBLISH', ARGV[2], ARGV[3])
    return raised
    """
)

Subject = int | str


def bump(kind: str, subject: Subject) -> int:
    """Raise the epoch, and tell every process by the event `kind:subject`. Call it after the commit.

    Raises RedisError: then nobody will find out, unless the caller repeats it.
    """
    with redis_clients.sync() as client:
        return int(scripts.run(client, _bump([epoch_key(kind, subject)]))[0])


async def abump(kind: str, subject: Subject) -> int:
    return int((await scripts.arun(redis_clients.hot(), _bump([epoch_key(kind, subject)])))[0])


def announce(*names: str) -> bool:
    """Raise epochs by the names of their events, `kind:subject`, all at once. Call it after the commit.

    False: Redis is away and nobody was told. That is no reason to fail: each cache forgets by itself in time.
    """
    keys = [epoch_key(*name.split(":", 1)) for name in names]
    try:
        with redis_clients.sync() as client:
            for start in range(0, len(keys), events.EVENTS_IN_MESSAGE):
                scripts.run(client, _bump(keys[start : start + events.EVENTS_IN_MESSAGE]))
    except redis_errors.RedisError as error:
        return events.lost(len(names), error)
    return True


def epoch(kind: str, subject: Subject) -> int:
    """0: nothing changed for days, or ever."""
    with redis_clients.sync() as client:
        return _number(client.get(epoch_key(kind, subject)))


async def aepoch(kind: str, subject: Subject) -> int:
    return _number(await redis_clients.hot().get(epoch_key(kind, subject)))


async def aepochs(kind: str, subjects: Sequence[Subject]) -> list[int]:
    """Of many in one round trip, in their order: for those who look again after a silence."""
    if not subjects:
        return []
    values: Any = await redis_clients.hot().mget([epoch_key(kind, subject) for subject in subjects])
    return [_number(value) for value in values]


def _bump(keys: Sequence[str]) -> scripts.Call:
    (message,) = events.messages(key.removeprefix("epoch:") for key in keys)
    return BUMP.call(EPOCH_SECONDS, events.CHANNEL, message, keys=keys)


def epoch_key(kind: str, subject: Subject) -> str:
    if not KIND.fullmatch(kind) or not SUBJECT.fullmatch(str(subject)):
        raise ValueError("An epoch is named by a kind and a subject, in plain letters and digits.")
    return f"epoch:{kind}:{subject}"


def _number(value: Any) -> int:
    return int(value) if value is not None else 0
