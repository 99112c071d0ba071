"""One web process's ear: a single Redis subscription, a registry of who waits, and a regular second look.

Bells may be lost. What a socket is owed is read from Redis again on every (re)subscribe and every
RESYNC_SECONDS while something is pending, so a lost bell costs time and never an answer.
"""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Coroutine, Sequence, Set
from typing import Any, Protocol

from django.conf import settings
from redis import exceptions as redis_errors

from config import caching
from config.observability import metrics
from config.per_loop import PerLoop
from config.redis import clients as redis_clients
from config.redis import multiplexed
from config.serving import drain
from yapit import invalidation
from yapit.accounts import identity
from yapit.accounts.identity import Identity
from yapit.errors import AuthenticationUnavailable
from yapit.limits import KEEP_SECONDS
from yapit.synthesis import credit

logger = logging.getLogger(__name__)

HASH_LENGTH = 64
ANNOUNCED_SECONDS = 300.0
ANNOUNCED_LIMIT = 100_000
CHECKED_EARLY = 0.8  # of IDENTITY_SECONDS: a round takes time, and begins at a RESYNC_SECONDS
SILENT_SECONDS = 5.0

BELLS = metrics.counter("bells", "Completion bells heard")
SOCKETS = metrics.gauge("sockets", "Open WebSocket connections")


class Subscriber(Protocol):
    """Is told when what it waits for has ended."""

    def on_notification(self, variant: str, status: str, detail: bytes) -> None: ...


class Socket(Protocol):
    """What the tower knows of a connection."""

    @property
    def is_waiting(self) -> bool: ...

    async def look_again(self) -> None: ...

    @property
    def who(self) -> Identity: ...

    @property
    def billed_user_id(self) -> int | None: ...

    async def check_credit(self) -> None: ...

    async def keep_place(self) -> None: ...

    async def ask_to_reconnect(self) -> None:
        """Ask it to come back."""

    async def reject(self) -> None:
        """What it came in with holds no longer."""


class NotificationHub:
    """Shared by all sockets of one event loop; made by `tower()`."""

    def __init__(self) -> None:
        self.process = secrets.token_hex(6)
        self.link = multiplexed.MultiplexedConnection(settings.REDIS_URL)
        self.sockets: set[Socket] = set()
        self._by_hash: defaultdict[str, set[Subscriber]] = defaultdict(set)
        self._announced: OrderedDict[tuple[int, str], float] = OrderedDict()
        self._connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscribed = asyncio.Event()
        self._is_silent = False
        self._started = False
        self._endings: list[Callable[[], None]] = []

    def start(self) -> None:
        if not self._started:
            self._started = True
            self.spawn(self._listen())
            self.spawn(self._look_regularly())
            drain.on_drain(self._shut_all)
            caching.listen()
            for kind in (invalidation.ACCOUNT, invalidation.KEY, invalidation.SESSION):
                self._endings.append(caching.subscribe(f"{kind}*", self._on_change))
            # `yapit.synthesis.credit` subscribed first, and has forgotten what it knew.
            self._endings.append(
                caching.subscribe(f"{invalidation.CREDIT}*", self._on_credit, missed=self._on_any_credit)
            )

    async def close(self) -> None:
        for unsubscribe in self._endings:
            unsubscribe()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.link.close()
        await redis_clients.close_hot()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run beside the caller; held until it ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def new_connection(self) -> str:
        self._connections += 1
        return f"{self.process}.{self._connections}"

    async def enter(self, socket: Socket) -> None:
        """Known from here on. Waits a moment for the subscription, so that the first bell is heard."""
        self.start()
        self.sockets.add(socket)
        SOCKETS.inc()
        try:
            await asyncio.wait_for(self._subscribed.wait(), timeout=1.0)
        except TimeoutError:
            logger.warning("Bells are not heard yet")

    def leave(self, socket: Socket) -> None:
        if socket in self.sockets:
            self.sockets.discard(socket)
            SOCKETS.dec()

    def wait_for(self, variant: str, hearer: Subscriber) -> None:
        self._by_hash[variant].add(hearer)

    def stop_waiting(self, variant: str, hearer: Subscriber) -> None:
        waiting = self._by_hash.get(variant)
        if waiting is not None:
            waiting.discard(hearer)
            if not waiting:
                del self._by_hash[variant]

    def remember_announced(self, user_id: int, variant: str) -> None:
        self._announced[(user_id, variant)] = time.monotonic()
        self._announced.move_to_end((user_id, variant))
        if len(self._announced) > ANNOUNCED_LIMIT:
            self._announced.popitem(last=False)

    def was_announced(self, user_id: int, variant: str) -> bool:
        """Whether we told this user that the audio is there, and it still ought to be."""
        at = self._announced.get((user_id, variant))
        return at is not None and time.monotonic() - at < ANNOUNCED_SECONDS

    async def _listen(self) -> None:
        delay = 0.0
        while True:
            try:
                await self._hear()
            except redis_errors.RedisError as error:
                delay = 0.1 if self._subscribed.is_set() else min(5.0, delay * 2 or 0.1)
                self._subscribed.clear()
                logger.warning("Bells: %s; subscribing again in %.1f s", type(error).__name__, delay)
                await asyncio.sleep(delay)

    async def _hear(self) -> None:
        connection = await multiplexed.connect(settings.REDIS_URL, self._take)
        self._is_silent = False
        try:
            connection.tell(("SUBSCRIBE", f"bell:{self.process}"))
            while not connection.lost.done():
                await asyncio.wait({connection.lost}, timeout=SILENT_SECONDS)
                # A connection whose other end vanished looks like one on which nothing happens.
                if self._is_silent:
                    raise redis_errors.ConnectionError("Redis is silent.")
                self._is_silent = True
                connection.tell(("PING",))
        finally:
            connection.close()
        raise redis_errors.ConnectionError("The connection to Redis is lost.")

    def _take(self, heard: Any) -> None:
        self._is_silent = False
        if heard[0] == b"message":
            self._ring(heard[2])
        elif heard[0] == b"subscribe":
            self._subscribed.set()
            self.spawn(self._all_look_again())

    def _ring(self, payload: bytes) -> None:
        BELLS.inc()
        variant, status = payload[:HASH_LENGTH].decode(), payload[HASH_LENGTH : HASH_LENGTH + 1].decode()
        detail = payload[HASH_LENGTH + 1 :]  # one object for all: its hash is worked out once, too
        for hearer in tuple(self._by_hash.get(variant, ())):
            hearer.on_notification(variant, status, detail)

    async def _look_regularly(self) -> None:
        checked_at = kept_at = time.monotonic()
        while True:
            await asyncio.sleep(settings.RESYNC_SECONDS)
            await self._all_look_again()
            if time.monotonic() - kept_at >= KEEP_SECONDS:
                kept_at = time.monotonic()
                await _each(socket.keep_place() for socket in tuple(self.sockets))
            if time.monotonic() - checked_at >= settings.IDENTITY_SECONDS * CHECKED_EARLY:
                checked_at = time.monotonic()
                await _each([self.check(tuple(self.sockets)), self._compare_epochs()])

    async def check(self, sockets: Sequence[Socket]) -> None:
        """A revoked key, a log-in that ended, an account that is gone: none of them keeps its sockets."""
        if not sockets:
            return
        try:
            lost = await identity.find_invalid({socket.who for socket in sockets})
        except AuthenticationUnavailable as error:
            logger.info("Open sockets could not be checked: %s", error.code)
            return
        await _each(socket.reject() for socket in sockets if socket.who in lost)

    def _on_change(self, event: str) -> None:
        """An account, a key or a session is not what it was."""
        concerned = [socket for socket in self.sockets if socket.who.is_affected_by(event)]
        if event.endswith(invalidation.RENEWED):
            self.spawn(_each([socket.ask_to_reconnect() for socket in concerned]))
        elif concerned:
            self.spawn(_each([self.check(concerned)]))

    def _on_credit(self, event: str) -> None:
        user_id = event.removeprefix(invalidation.CREDIT)
        self._check_credit({int(user_id)} if user_id.isdecimal() else set())

    def _on_any_credit(self) -> None:
        self._check_credit(self._spenders())

    def _check_credit(self, user_ids: Set[int]) -> None:
        concerned = [socket for socket in self.sockets if socket.billed_user_id in user_ids]
        if concerned:
            self.spawn(_each(socket.check_credit() for socket in concerned))

    async def _compare_epochs(self) -> None:
        """What changed, and was not heard of."""
        self._check_credit(set(await credit.outdated(list(self._spenders()))))

    def _spenders(self) -> set[int]:
        return {socket.billed_user_id for socket in self.sockets if socket.billed_user_id is not None}

    async def _shut_all(self) -> None:
        """This process is ending: its sockets are told to come back, and find another."""
        await asyncio.gather(
            *(socket.ask_to_reconnect() for socket in tuple(self.sockets)), return_exceptions=True
        )

    async def _all_look_again(self) -> None:
        await _each(socket.look_again() for socket in tuple(self.sockets) if socket.is_waiting)


async def _each(looks: Any) -> None:
    for outcome in await asyncio.gather(*looks, return_exceptions=True):
        if isinstance(outcome, redis_errors.RedisError):
            logger.warning("A second look failed: %s", type(outcome).__name__)
        elif isinstance(outcome, Exception):
            logger.error("A second look failed", exc_info=outcome)


hub = PerLoop(NotificationHub)
