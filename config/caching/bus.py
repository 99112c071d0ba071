"""Hears what changed: one Redis subscription of this process, for all its caches.

Pub/sub loses whatever is said while nobody listens. So each new subscription counts as having missed
everything: caches are emptied then, and whoever remembers an epoch compares it again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from redis import exceptions as redis_errors
from redis.asyncio.client import PubSub

from config.caching import events
from config.caching.subscriptions import HEARD, Subscriptions
from config.observability import metrics
from config.per_loop import PerLoop
from config.redis import clients as redis_clients

logger = logging.getLogger(__name__)

SILENT_SECONDS = 5.0  # then it is asked whether it still hears us, and after as long again it is given up
STOP_SECONDS = 2.0
CLOSE_SECONDS = 0.5
LONGEST_PAUSE = 1.0
OUTAGES = (redis_errors.RedisError, OSError)  # a TimeoutError is one of the latter

SUBSCRIBED = metrics.counter("cache_bus_subscriptions", "Times that the bus subscribed to Redis")

_subscriptions = Subscriptions()


class Bus:
    """The ear of one event loop."""

    def __init__(self, subscriptions: Subscriptions, silent_seconds: float = SILENT_SECONDS) -> None:
        self._subscriptions = subscriptions
        self._silent_seconds = silent_seconds
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()
        self._pause = 0.0

    @property
    def is_subscribed(self) -> bool:
        return self._subscribed.is_set()

    def start(self) -> None:
        """Repeatable; also after a stop."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())

    async def subscribed(self) -> None:
        """Returns when events are heard from now on."""
        await self._subscribed.wait()

    async def stop(self) -> None:
        """Returns within STOP_SECONDS, whatever Redis does."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        _, still_running = await asyncio.wait({task}, timeout=STOP_SECONDS)
        if still_running:
            logger.warning("The subscription of the caches did not end in time")

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except OUTAGES as error:
                self._pause = min(LONGEST_PAUSE, self._pause * 2 or 0.1)
                logger.warning(
                    "Caches hear nothing: %s; subscribing again in %.1f s", type(error).__name__, self._pause
                )
            await asyncio.sleep(self._pause)

    async def _hear(self) -> None:
        client = redis_clients.subscriber()
        pubsub = client.pubsub()
        try:
            async with asyncio.timeout(self._silent_seconds):
                await pubsub.subscribe(events.CHANNEL)
            await self._hear_on(pubsub)
        finally:
            self._subscribed.clear()
            # Closing a connection that is in doubt may wait for ever.
            for close in (pubsub.aclose, client.aclose):
                with contextlib.suppress(*OUTAGES):
                    await asyncio.wait_for(close(), CLOSE_SECONDS)

    async def _hear_on(self, pubsub: PubSub) -> None:
        was_silent = False
        while True:
            message = await pubsub.get_message(timeout=self._silent_seconds)
            if message is not None:
                was_silent = False
                self._take(message["type"], message["data"])
                await asyncio.sleep(0)  # a flood that is already here would hold everybody else
            elif was_silent:
                raise TimeoutError("Redis is silent")
            else:
                # A connection whose other end vanished looks like one on which nothing happens.
                was_silent = True
                await pubsub.ping("still there")

    def _take(self, kind: str, data: bytes) -> None:
        if kind == "subscribe":
            SUBSCRIBED.inc()
            self._pause = 0.0
            self._subscriptions.tell_missed()
            self._subscribed.set()
        elif kind == "message":
            try:
                changed = events.read(data)
            except events.Malformed:
                HEARD.labels("malformed").inc()
            else:
                self._subscriptions.tell(changed)


_bus = PerLoop(lambda: Bus(_subscriptions))


def subscribe(
    pattern: str, heard: Callable[[str], None], missed: Callable[[], None] | None = None
) -> Callable[[], None]:
    """See `Subscriptions.add`. Nothing is heard before somebody calls `listen`."""
    return _subscriptions.add(pattern, heard, missed)


def listen() -> Bus:
    """The bus of the running event loop, started. Cheap enough to be called with each request."""
    bus = _bus()
    bus.start()
    return bus


async def stop_listening() -> None:
    """At the end of the running event loop."""
    bus = _bus.pop()
    if bus is not None:
        await bus.stop()
