"""Serialized responses that many ask for: built once for all processes, and never older than a change.

A body is fresh for a while. Then it is stale: whoever asks gets it at once, while one task builds the next.
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
    Entry,
    Memory,
)
from config.caching.shared import Away, SharedLevel, Taken, Turn
from config.observability import metrics

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.25  # until it is looked again whether another process has built
POLL_SECONDS = 0.02  # the same, where there is nothing to serve meanwhile
COLD_GATE_SECONDS = 1.0
REMEMBERED_FAILURES = 1000

FAILURES = metrics.counter("cache_failures", "Builds of a response that failed", ["cache"])
STALE_SINCE = metrics.gauge(
    "cache_stale_since",
    "Unix time since which a response is stale because it cannot be built; 0: none is",
    ["cache"],
)
SHARED = metrics.counter("cache_shared", "What the shared level had", ["cache", "outcome"])

Key = tuple[str, ...]
Build = Callable[[], Awaitable[bytes]]

_response_caches: "dict[str, TtlResponseCache]" = {}


def response_caches() -> Mapping[str, "TtlResponseCache"]:
    """Those of this process, by name."""
    return dict(_response_caches)


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes as they are served, and their strong entity tag, quotes included."""

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
    retry_at: float = 0.0  # stale: not to be built before

    def is_fresh(self, now: float) -> bool:
        return now < self.fresh_until


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception
    traceback: TracebackType | None
    until: float


class TtlResponseCache:
    """One in each process, and behind it a level in Redis that all share.

    `follows`: events after which all of it is outdated. `kind`: events `kind:subject` outdate what has the
    subject for the first part of its key. Whoever raises them must do so by `announce`, since the shared
    level compares epochs. `refusals`: what a build raises to say that there is nothing; nobody gets an older
    body then.
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
            subscribe(f"{kind}:*", self._forget_subject)
        _response_caches[name] = self

    def __len__(self) -> int:
        return len(self._bodies.entries)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._bodies.size

    @property
    def stale_since(self) -> float:
        """Unix time; 0: nothing is stale for want of a build that succeeds."""
        for key in list(self._stale_since):
            if self._bodies.peek(key) is None:  # nobody is served that any more, nor may ever ask again
                self._stale_since.pop(key, None)
        return min(list(self._stale_since.values()), default=0.0)

    async def get(self, key: Key, build: Build) -> Body:
        """Raises what the build raised where there is nothing to fall back to: to all who waited for it."""
        built = self._bodies.peek(key)
        if built is None:
            return await self._first(key, build, self._clock())
        self._use(key, build, built)
        return built.body

    def holds(self, key: Key, build: Build, etag: str) -> bool:
        """Whether `get` would return the body of this tag, at once; does then what it would do beside."""
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
        """Forget these in this process, and what is being built for them."""
        self._bodies.forget(keys)
        self._forgot(len(keys), lambda key: key in keys)

    def flush(self) -> None:
        """Forget everything in this process, and what is being built."""
        self._bodies.forget_all()
        self._forgot(1, lambda key: True)

    def _forget_subject(self, event: str) -> None:
        subject = event.partition(":")[2]
        self._forgot(self._bodies.forget_subject(subject), lambda key: key[0] == subject)

    def _forgot(self, count: int, is_forgotten: Callable[[Key], bool]) -> None:
        INVALIDATIONS.labels(self.name).inc(count)
        for remembered in (self._failures, self._stale_since):
            for key in [key for key in list(remembered) if is_forgotten(key)]:
                remembered.pop(key, None)

    # --- Building ---------------------------------------------------------------------------------------

    async def _first(self, key: Key, build: Build, now: float) -> Body:
        self._lookups["miss"].inc()
        failure = self._failures.get(key)
        if failure is not None and now < failure.until:
            raise failure.error.with_traceback(failure.traceback)
        entry = await self._bodies.afetch_once(key, partial(self._renew, key, build))
        return entry.value.body

    async def _renew(self, key: Key, build: Build) -> Entry[_Built]:
        """The one task that is under way for a key in this process."""
        try:
            built = await self._obtain(key, build)
        except self._refusals:
            self._bodies.drop(key)
            self._stale_since.pop(key, None)
            raise
        except Exception as error:  # whatever the builder raised: an older body is better than any of it
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
            served = self._served_meanwhile(key, taken)
            if served is not None:
                return served
            if taken.turn is Turn.FAILED:
                # Here nobody has an older one: its error should be seen here, too.
                return await self._build(key, epochs, token, taken, build)
            await asyncio.sleep(POLL_SECONDS)

    async def _take(self, key: Key, epochs: Sequence[str], token: str) -> Taken | None:
        try:
            taken = await self._shared.take(key, epochs, token)
        except Away:
            SHARED.labels(self.name, "away").inc()
            return None
        SHARED.labels(self.name, taken.turn.value).inc()
        built = self._bodies.peek(key)
        if built is not None and built.generation not in (None, taken.generation):
            self._bodies.drop(key)  # the bell was missed: it is not only old but wrong
        return taken

    def _served_meanwhile(self, key: Key, taken: Taken) -> _Built | None:
        """What the shared level has, or else what there is here; None: one has to wait."""
        now = self._clock()
        retry_at = now + (self._gate_seconds if taken.turn is Turn.FAILED else LOOK_SECONDS)
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
        except BaseException as error:  # others must not wait for this process, whatever ended its build
            await self._give_up(key, token, error)
            raise
        fresh_until = began + self.seconds
        if not await self._store(key, epochs, token, taken, data, fresh_until):
            fresh_until = -self._grace_seconds  # for those who waited, and for nobody else
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
        except Away:
            return True  # whether anything changed is not known; the bell will tell

    async def _give_up(self, key: Key, token: str, error: BaseException) -> None:
        has_failed = isinstance(error, Exception) and not isinstance(error, self._refusals)
        with contextlib.suppress(Away):
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
            self._remember_failure(key, error, now)
            raise error
        logger.warning("The cache %s serves what it has: %s", self.name, type(error).__name__)
        self._stale_since.setdefault(key, time.time() - (now - built.fresh_until))
        return replace(built, retry_at=now + self._gate_seconds)

    def _remember_failure(self, key: Key, error: Exception, now: float) -> None:
        if len(self._failures) >= REMEMBERED_FAILURES:
            self._failures.clear()
        self._failures[key] = _Failure(error, error.__traceback__, now + COLD_GATE_SECONDS)
        self._stale_since.pop(key, None)

    def _epochs(self, key: Key) -> tuple[str, ...]:
        return self._follows if self._kind is None else (*self._follows, f"{self._kind}:{key[0]}")

    def _entry(self, key: Key, built: _Built) -> Entry[_Built]:
        size = ENTRY_BYTES + sum(map(len, key)) + len(built.body.data)
        return Entry(built, built.fresh_until + self._grace_seconds, size)


class _Bodies(Memory[Key, _Built]):
    """Keeps them for their grace time, but only a fresh one spares a build."""

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
        """Without letting go of what is being built."""
        with self._lock:
            self._drop(key)

    def _recall(self, key: Key) -> Entry[_Built] | Missing:
        entry = super()._recall(key)
        return entry if entry is not MISSING and entry.value.is_fresh(self.clock()) else MISSING
