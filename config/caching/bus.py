"""Invalidation bus: one Redis subscription of this process, for all its caches.

Messages published while the connection is down are lost. After each new subscription, caches are therefore
flushed, and remembered epochs are compared again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from redis.asyncio.client import PubSub

from config.caching import events
from config.caching.subscriptions import EVENTS, Subscriptions
from config.observability import metrics
from config.per_loop import PerLoop
from config.redis import clients as redis_clients
from config.redis.transient import FAILURES

logger = logging.getLogger(__name__)

SILENT_SECONDS = 5.0  # without a message, after which it is pinged; after as long again it is closed
STOP_SECONDS = 2.0
CLOSE_SECONDS = 0.5
LONGEST_PAUSE = 1.0

SUBSCRIBED = metrics.counter("cache_bus_subscriptions", "Times that the bus subscribed to Redis")

_subscriptions = Subscriptions()


class Bus:
    """The subscription of one event loop."""

    def __init__(self, subscriptions: Subscriptions, silent_seconds: float = SILENT_SECONDS) -> None:
        self._subscriptions = subscriptions
        self._silent_seconds = silent_seconds
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()
        self.pause = 0.0

    @property
    def is_subscribed(self) -> bool:
        return self._subscribed.is_set()

    def start(self) -> None:
        """Repeatable; also after a stop."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())

    async def subscribed(self) -> None:
        """Wait until events are received."""
        await self._subscribed.wait()

    async def stop(self) -> None:
        """Cancel the subscription. Returns within STOP_SECONDS, even when Redis does not respond."""
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
                await self._receive()
            except FAILURES as error:
                self.pause = min(LONGEST_PAUSE, self.pause * 2 or 0.1)
                logger.warning(
                    "Cache events are not received: %s; subscribing again in %.1f s",
                    type(error).__name__,
                    self.pause,
                )
            await asyncio.sleep(self.pause)

    async def _receive(self) -> None:
        client = redis_clients.subscriber()
        pubsub = client.pubsub()
        try:
            async with asyncio.timeout(self._silent_seconds):
                await pubsub.subscribe(events.CHANNEL)
            await self._receive_from(pubsub)
        finally:
            self._subscribed.clear()
            # Closing a connection to a server that is gone may block.
            for close in (pubsub.aclose, client.aclose):
                with contextlib.suppress(*FAILURES):
                    await asyncio.wait_for(close(), CLOSE_SECONDS)

    async def _receive_from(self, pubsub: PubSub) -> None:
        was_silent = False
        while True:
            message = await pubsub.get_message(timeout=self._silent_seconds)
            if message is not None:
                was_silent = False
                self._handle(message["type"], message["data"])
                await asyncio.sleep(0)  # messages that are already buffered would block the event loop
            elif was_silent:
                raise TimeoutError("Redis is silent")
            else:
                # Without a ping, a connection that is cut looks like an idle one.
                was_silent = True
                await pubsub.ping("still there")

    def _handle(self, kind: str, data: bytes) -> None:
        if kind == "subscribe":
            SUBSCRIBED.inc()
            self.pause = 0.0
            self._subscriptions.notify_missed()
            self._subscribed.set()
        elif kind == "message":
            try:
                changed = events.read(data)
            except events.Malformed:
                EVENTS.labels("malformed").inc()
            else:
                self._subscriptions.notify(changed)


_bus = PerLoop(lambda: Bus(_subscriptions))


def subscribe(
    pattern: str, on_event: Callable[[str], None], missed: Callable[[], None] | None = None
) -> Callable[[], None]:
    """Subscribe to events as `Subscriptions.add` does. They are received once `listen` has been called."""
    return _subscriptions.add(pattern, on_event, missed)


def listen() -> Bus:
    """Start the bus of the running event loop and return it. Cheap enough for every request."""
    bus = _bus()
    bus.start()
    return bus


async def stop_listening() -> None:
    """Stop the bus of the running event loop, at the end of the loop."""
    bus = _bus.pop()
    if bus is not None:
        await bus.stop()
