"""Shared level of a response cache: bodies in Redis, and a lease on building the next one.

A body is stored with the epochs at the start of its build. It is stored, and found later, only while these
are current. Both checks are part of a script, so a body that was built before a change is never found after
it.
"""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from django.conf import settings
from django.core.cache import caches
from django_redis import get_redis_connection

from config.redis import address, scripts
from config.redis.transient import FAILURES

logger = logging.getLogger(__name__)

BACKEND = "django_redis.cache.RedisCache"
ALIAS = "default"
LEAD_SECONDS = 2.0  # for which others wait for a leader that has died
AWAY_SECONDS = 2.0  # without a call after a failed one, or each build would wait for Redis
# django-redis blocks. The default executor is not used, since all of its threads may wait for a database.
_threads = ThreadPoolExecutor(4, thread_name_prefix="shared-cache")

TAKE = scripts.Script(
    """
    local epochs = {}
    for i = 3, #KEYS do epochs[i - 2] = redis.call('GET', KEYS[i]) or '0' end
    local generation = table.concat(epochs, '.')
    local kept = redis.call('HMGET', KEYS[1], 'generation', 'body')
    local body, left = '', 0
    if kept[1] == generation then
        body, left = kept[2], redis.call('PTTL', KEYS[1])
        if left > tonumber(ARGV[3]) then return {'fresh', generation, body, left} end
    end
    local holder = redis.call('GET', KEYS[2])
    if not holder then redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) end
    -- A repetition after a lost reply is still the leader.
    if not holder or holder == ARGV[1] then return {'lead', generation, '', 0} end
    if holder == 'failed' then return {'failed', generation, body, left} end
    return {'wait', generation, body, left}
    """
)
STORE = scripts.Script(
    """
    local epochs = {}
    for i = 3, #KEYS do epochs[i - 2] = redis.call('GET', KEYS[i]) or '0' end
    local is_leader = redis.call('GET', KEYS[2]) == ARGV[1]
    if is_leader then redis.call('DEL', KEYS[2]) end
    if table.concat(epochs, '.') ~= ARGV[2] then return -1 end
    if not is_leader then return 0 end
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'body', ARGV[3])
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
    return 1
    """
)
HOLD = scripts.Script(
    "return redis.call('GET', KEYS[2]) == ARGV[1] and redis.call('PEXPIRE', KEYS[2], ARGV[2]) or 0"
)
GIVE_UP = scripts.Script(
    """
    if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
    redis.call('DEL', KEYS[2])
    if tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[2], 'failed', 'PX', ARGV[2]) end
    if ARGV[3] == 'gone' then redis.call('DEL', KEYS[1]) end
    return 1
    """
)


class Turn(StrEnum):
    FRESH = "fresh"  # the body is usable
    LEAD = "lead"  # the caller has to build
    WAIT = "wait"  # another process is building
    FAILED = "failed"  # a build of another process failed just now


@dataclass(frozen=True, slots=True)
class Taken:
    turn: Turn
    generation: str
    body: bytes | None  # possibly stale
    seconds_left: float


class SharedCacheUnavailable(Exception):
    """Redis does not respond, or there is no shared level."""


class SharedLevel:
    """The shared level of one cache. Methods are repeatable; they raise Unavailable within two seconds."""

    def __init__(self, name: str, *, grace_seconds: float, lead_seconds: float = LEAD_SECONDS) -> None:
        self._name = name
        self._grace_ms = round(grace_seconds * 1000)
        self._lead_ms = round(lead_seconds * 1000)
        self._away_until = 0.0

    async def take(self, key: Sequence[str], epochs: Sequence[str], token: str) -> Taken:
        """The body, and whether the caller has to build the next one, within `holding`."""
        answer = await self._run(TAKE, key, epochs, token, self._lead_ms, self._grace_ms)
        turn, generation, body, left = answer
        return Taken(Turn(turn.decode()), generation.decode(), body or None, left / 1000)

    async def store(
        self, key: Sequence[str], epochs: Sequence[str], token: str, taken: Taken, body: bytes, seconds: float
    ) -> bool:
        """Store a body for some seconds. Returns False when a change during the build has outdated it."""
        milliseconds = max(1, round(seconds * 1000))
        stored = await self._run(STORE, key, epochs, token, taken.generation, body, milliseconds)
        return int(stored) >= 0

    @contextlib.asynccontextmanager
    async def holding(self, key: Sequence[str], token: str) -> AsyncIterator[None]:
        """Renew the lease while the caller builds. It expires soon after the process has died."""
        task = asyncio.create_task(self._hold(key, token))
        try:
            yield
        finally:
            task.cancel()

    async def give_up(
        self, key: Sequence[str], token: str, *, gate_seconds: float = 0.0, is_gone: bool = False
    ) -> None:
        """Release the lease after a failed build; others try again after `gate_seconds`.

        `is_gone`: there is no response any more, and the stored body is deleted.
        """
        await self._run(GIVE_UP, key, (), token, round(gate_seconds * 1000), "gone" if is_gone else "")

    async def _hold(self, key: Sequence[str], token: str) -> None:
        while True:
            await asyncio.sleep(self._lead_ms / 3000)
            with contextlib.suppress(SharedCacheUnavailable):
                await self._run(HOLD, key, (), token, self._lead_ms)

    async def _run(
        self, script: scripts.Script, key: Sequence[str], epochs: Sequence[str], *args: Any
    ) -> Any:
        if self.is_away or not is_possible():
            raise SharedCacheUnavailable
        call = script.call(*args, keys=[*self.keys(key), *(f"epoch:{epoch}" for epoch in epochs)])
        try:
            return await asyncio.get_running_loop().run_in_executor(_threads, _call, call)
        except FAILURES as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            logger.warning(
                "The shared level of the cache %s is unavailable: %s", self._name, type(error).__name__
            )
            raise SharedCacheUnavailable from error

    @property
    def is_away(self) -> bool:
        """Whether a call failed less than AWAY_SECONDS ago."""
        return time.monotonic() < self._away_until

    def keys(self, key: Sequence[str]) -> tuple[str, str]:
        # Parts of the key come from clients: of any length, with any characters.
        digest = hashlib.sha256(msgspec.msgpack.encode(tuple(key))).hexdigest()
        value = str(caches[ALIAS].make_key(f"response:{self._name}:{digest}"))
        return value, f"{value}:lead"


def is_possible() -> bool:
    """Whether cache and epochs are in the same Redis, as scripts read both."""
    cache = settings.CACHES[ALIAS]
    url = address.parse(settings.REDIS_URL).url
    return bool(settings.SHARED_RESPONSES and cache["BACKEND"] == BACKEND and cache["LOCATION"] == url)


def _call(call: scripts.ScriptCall) -> Any:
    return scripts.run(get_redis_connection(ALIAS), call)
