"""Response cache: serialized bodies, built once for all processes and invalidated by events.

A body is fresh for some time. After that it is stale: it is served at once, while one task builds the next.
"""

import asyncio
import contextlib
import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType

from django.conf import settings

from config.caching.bus import subscribe
from config.caching.flight import MISSING, Missing
from config.caching.memory import (
    ENTRY_BYTES,
    EVICTIONS,
    INVALIDATIONS,
    LOOKUPS,
    REBUILD_SECONDS,
    REBUILDS,
    CacheEntry,
    Memory,
)
from config.caching.shared import SharedCacheUnavailable, SharedLevel, Taken, Turn
from config.observability import metrics

logger = logging.getLogger(__name__)

RECHECK_SECONDS = 0.25  # between checks whether another process has built, while a stale body is served
POLL_SECONDS = 0.02  # the same, while there is no body to serve
COLD_GATE_SECONDS = 1.0  # for which a failure is raised again without a body to serve
MAX_FAILURES = 1000

FAILURES = metrics.counter("cache_failures", "Builds of a response that failed", ["cache"])
STALE_SINCE = metrics.gauge(
    "cache_stale_since",
    "Unix time since which a response is stale because its build fails; 0: none is",
    ["cache"],
)
SHARED = metrics.counter("cache_shared", "Reads of the shared level", ["cache", "outcome"])

Key = tuple[str, ...]
Build = Callable[[], Awaitable[bytes]]

_response_caches: "dict[str, TtlResponseCache]" = {}


def response_caches() -> Mapping[str, "TtlResponseCache"]:
    """The response caches of this process, by name."""
    return dict(_response_caches)


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a response, and their strong entity tag, with quotes."""

    data: bytes
    etag: str

    @classmethod
    def of(cls, data: bytes) -> "Body":
        return cls(data, f'"{hashlib.sha256(data).hexdigest()[:32]}"')


@dataclass(frozen=True, slots=True)
class _Built:
    body: Body
    fresh_until: float
    generation: str | None  # of the shared level; None: unknown
    retry_at: float = 0.0  # of a stale body: the next build starts no earlier

    def is_fresh(self, now: float) -> bool:
        return now < self.fresh_until


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception
    traceback: TracebackType | None
    until: float


class TtlResponseCache:
    """A cache in each process, in front of a level in Redis that all processes share.

    `follows`: events that invalidate all bodies. `kind`: events `kind:subject` invalidate the bodies whose
    key starts with the subject. These events must be published by `announce`, since the shared level compares
    epochs. `refusals`: exceptions by which a build says that there is no response; no older body is served
    then.
    """

    def __init__(
        self,
        name: str,
        *,
        seconds: float | None = None,
        grace_seconds: float = 600.0,
        gate_seconds: float = 5.0,
        build_seconds: float = 15.0,
        max_bytes: int = 16 * 1024 * 1024,
        follows: Sequence[str] = (),
        kind: str | None = None,
        refusals: tuple[type[Exception], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.seconds = settings.RESPONSE_SECONDS if seconds is None else seconds
        self.max_bytes = max_bytes
        self._grace_seconds = grace_seconds
        self._gate_seconds = gate_seconds
        self._build_seconds = build_seconds
        self._kind = kind
        self._refusals = refusals
        self._clock = clock
        self._follows = (*follows, f"clear:{name}")
        self._shared = SharedLevel(name, grace_seconds=grace_seconds)
        self._bodies = _Bodies(max_bytes, clock, EVICTIONS.labels(name).inc)
        self._failures: dict[Key, _Failure] = {}
        self._stale_since: dict[Key, float] = {}
        self._lookups = {outcome: LOOKUPS.labels(name, outcome) for outcome in ("hit", "stale", "miss")}
        STALE_SINCE.labels(name).set_function(lambda: self.stale_since)
        for event in self._follows:
            subscribe(event, lambda _: self.flush(), missed=self.flush)
        if kind is not None:
            subscribe(f"{kind}:*", self.forget_subject)
        _response_caches[name] = self

    def __len__(self) -> int:
        return len(self._bodies.entries)

    @property
    def size(self) -> int:
        """In bytes."""
        return self._bodies.size

    @property
    def stale_since(self) -> float:
        """Unix time of the oldest body that is stale because its build fails; 0 without one."""
        for key in list(self._stale_since):
            if self._bodies.peek(key) is None:  # no longer served, and possibly never requested again
                self._stale_since.pop(key, None)
        return min(list(self._stale_since.values()), default=0.0)

    async def get(self, key: Key, build: Build) -> Body:
        """The body, fresh or stale. Without one, raises the exception of the build to all its callers."""
        built = self._bodies.peek(key)
        if built is None:
            return await self._wait_for_first(key, build, self._clock())
        self._use(key, build, built)
        return built.body

    def holds(self, key: Key, build: Build, etag: str) -> bool:
        """Whether `get` would return the body with this tag at once. If so, counts and renews as it does."""
        built = self._bodies.peek(key)
        if built is None or built.body.etag != etag:
            return False
        self._use(key, build, built)
        return True

    def _use(self, key: Key, build: Build, built: _Built) -> None:
        now = self._clock()
        if built.is_fresh(now):
            self._lookups["hit"].inc()
            return
        self._lookups["stale"].inc()
        if built.retry_at <= now:
            self._bodies.begin(key, partial(self._renew, key, build))

    def invalidate(self, *keys: Key) -> None:
        """Drop these bodies in this process, and detach their builds in progress."""
        self._bodies.forget(keys)
        self._drop_records(len(keys), lambda key: key in keys)

    def flush(self) -> None:
        """Drop all bodies in this process, and detach all builds in progress."""
        self._bodies.forget_all()
        self._drop_records(1, lambda key: True)

    @property
    def is_shared_level_away(self) -> bool:
        """Whether Redis failed a moment ago, so that this process builds for itself."""
        return self._shared.is_away

    @property
    def under_way(self) -> int:
        """The number of builds in progress in this process."""
        return self._bodies.under_way

    def forget_subject(self, event: str) -> None:
        subject = event.partition(":")[2]
        self._drop_records(self._bodies.forget_subject(subject), lambda key: key[0] == subject)

    def _drop_records(self, count: int, is_dropped: Callable[[Key], bool]) -> None:
        INVALIDATIONS.labels(self.name).inc(count)
        for records in (self._failures, self._stale_since):
            for key in [key for key in list(records) if is_dropped(key)]:
                records.pop(key, None)

    # --- Building ---------------------------------------------------------------------------------------

    async def _wait_for_first(self, key: Key, build: Build, now: float) -> Body:
        self._lookups["miss"].inc()
        failure = self._failures.get(key)
        if failure is not None and now < failure.until:
            raise failure.error.with_traceback(failure.traceback)
        entry = await self._bodies.afetch_once(key, partial(self._renew, key, build))
        return entry.value.body

    async def _renew(self, key: Key, build: Build) -> CacheEntry[_Built]:
        """Build or fetch the next body. One task for each key and process."""
        try:
            built = await self._obtain(key, build)
        except self._refusals:
            self._bodies.drop(key)
            self._stale_since.pop(key, None)
            raise
        except Exception as error:  # of any kind: an older body is better
            return self._entry(key, self._fall_back(key, error))
        if built.retry_at == 0.0:
            self._failures.pop(key, None)
            self._stale_since.pop(key, None)
        return self._entry(key, built)

    async def _obtain(self, key: Key, build: Build) -> _Built:
        epochs = self._epochs(key)
        token = secrets.token_hex(8)
        deadline = self._clock() + self._build_seconds
        while True:
            taken = await self._take(key, epochs, token)
            if taken is None or taken.turn is Turn.LEAD or self._clock() > deadline:
                return await self._build(key, epochs, token, taken, build)
            available = self._body_to_serve(key, taken)
            if available is not None:
                return available
            if taken.turn is Turn.FAILED:
                # Neither level has an older body: build here as well, so that the error is seen.
                return await self._build(key, epochs, token, taken, build)
            await asyncio.sleep(POLL_SECONDS)

    async def _take(self, key: Key, epochs: Sequence[str], token: str) -> Taken | None:
        try:
            taken = await self._shared.take(key, epochs, token)
        except SharedCacheUnavailable:
            SHARED.labels(self.name, "away").inc()
            return None
        SHARED.labels(self.name, taken.turn.value).inc()
        built = self._bodies.peek(key)
        if built is not None and built.generation not in (None, taken.generation):
            self._bodies.drop(key)  # its event was missed, so it is outdated and not just stale
        return taken

    def _body_to_serve(self, key: Key, taken: Taken) -> _Built | None:
        """The body of the shared level, or else the one of this process; None: there is neither."""
        now = self._clock()
        retry_at = now + (self._gate_seconds if taken.turn is Turn.FAILED else RECHECK_SECONDS)
        if taken.body is not None:
            fresh_until = now + taken.seconds_left - self._grace_seconds
            is_fresh = taken.turn is Turn.FRESH
            return _Built(Body.of(taken.body), fresh_until, taken.generation, 0.0 if is_fresh else retry_at)
        built = self._bodies.peek(key)
        return None if built is None else replace(built, retry_at=retry_at)

    async def _build(
        self, key: Key, epochs: Sequence[str], token: str, taken: Taken | None, build: Build
    ) -> _Built:
        began = self._clock()
        if taken is None or taken.turn is not Turn.LEAD:
            return _Built(
                Body.of(await self._call(build)), began + self.seconds, taken.generation if taken else None
            )
        try:
            async with self._shared.holding(key, token):
                data = await self._call(build)
        except BaseException as error:  # other processes must not wait for this one
            await self._give_up(key, token, error)
            raise
        fresh_until = began + self.seconds
        if not await self._store(key, epochs, token, taken, data, fresh_until):
            fresh_until = -self._grace_seconds  # outdated: only for the callers that waited
        return _Built(Body.of(data), fresh_until, taken.generation)

    async def _call(self, build: Build) -> bytes:
        REBUILDS.labels(self.name).inc()
        with REBUILD_SECONDS.labels(self.name).time():
            async with asyncio.timeout(self._build_seconds):
                return await build()

    async def _store(
        self, key: Key, epochs: Sequence[str], token: str, taken: Taken, data: bytes, fresh_until: float
    ) -> bool:
        left = fresh_until + self._grace_seconds - self._clock()
        try:
            return await self._shared.store(key, epochs, token, taken, data, left)
        except SharedCacheUnavailable:
            return True  # an event will tell if it is outdated

    async def _give_up(self, key: Key, token: str, error: BaseException) -> None:
        has_failed = isinstance(error, Exception) and not isinstance(error, self._refusals)
        with contextlib.suppress(SharedCacheUnavailable):
            await self._shared.give_up(
                key,
                token,
                gate_seconds=self._gate_seconds if has_failed else 0.0,
                is_gone=isinstance(error, self._refusals),
            )

    def _fall_back(self, key: Key, error: Exception) -> _Built:
        FAILURES.labels(self.name).inc()
        built, now = self._bodies.peek(key), self._clock()
        if built is None:
            self._record_failure(key, error, now)
            raise error
        logger.warning("The cache %s serves a stale body: %s", self.name, type(error).__name__)
        self._stale_since.setdefault(key, time.time() - (now - built.fresh_until))
        return replace(built, retry_at=now + self._gate_seconds)

    def _record_failure(self, key: Key, error: Exception, now: float) -> None:
        if len(self._failures) >= MAX_FAILURES:
            self._failures.clear()
        self._failures[key] = _Failure(error, error.__traceback__, now + COLD_GATE_SECONDS)
        self._stale_since.pop(key, None)

    def _epochs(self, key: Key) -> tuple[str, ...]:
        return self._follows if self._kind is None else (*self._follows, f"{self._kind}:{key[0]}")

    def _entry(self, key: Key, built: _Built) -> CacheEntry[_Built]:
        size = ENTRY_BYTES + sum(map(len, key)) + len(built.body.data)
        return CacheEntry(built, built.fresh_until + self._grace_seconds, size)


class _Bodies(Memory[Key, _Built]):
    """Entries are kept for their grace time, but only a fresh one spares a build."""

    def peek(self, key: Key) -> _Built | None:
        with self._lock:
            entry = super()._recall(key)
        return None if entry is MISSING else entry.value

    def forget_subject(self, subject: str) -> int:
        with self._lock:
            for key in [key for key in self._under_way if key[0] == subject]:
                self._detach(key)
            outdated = [key for key in self.entries if key[0] == subject]
            for key in outdated:
                self._drop(key)
        return len(outdated)

    def drop(self, key: Key) -> None:
        """Drop the entry without detaching the build in progress."""
        with self._lock:
            self._drop(key)

    def _recall(self, key: Key) -> CacheEntry[_Built] | Missing:
        entry = super()._recall(key)
        return entry if entry is not MISSING and entry.value.is_fresh(self.clock()) else MISSING
