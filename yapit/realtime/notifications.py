"""Notification hub: the state that all open connections of a web process share.

Completion notifications may be lost. Each connection reads the states of its pending blocks from Redis
again after every (re)subscription and every RESYNC_SECONDS, so a lost notification costs time and no answer.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from django.conf import settings

from config import caching
from config.observability import metrics
from config.per_loop import PerLoop
from config.redis import clients as redis_clients
from config.redis import multiplexed
from config.serving import drain
from yapit.realtime.access_checks import AccessChecks
from yapit.realtime.announced import AnnouncedAudio
from yapit.realtime.background import BackgroundTasks
from yapit.realtime.changes import ChangeFeed
from yapit.realtime.channel import NotificationChannel
from yapit.realtime.connections import ClientConnection
from yapit.realtime.credit_checks import CreditChecks
from yapit.realtime.periodic import PeriodicWork
from yapit.realtime.subscribers import Subscribers

SUBSCRIBE_SECONDS = 1.0
SOCKETS = metrics.gauge("sockets", "Open WebSocket connections")


class NotificationHub:
    """One for each event loop; made by `hub()`."""

    def __init__(self) -> None:
        self.process = secrets.token_hex(6)
        self.link = multiplexed.MultiplexedConnection(settings.REDIS_URL)
        self.connections: set[ClientConnection] = set()
        self.subscribers = Subscribers()
        self.announced = AnnouncedAudio()
        self.background = BackgroundTasks()
        self.access = AccessChecks(self.connections, self.background)
        self.credit = CreditChecks(self.background)
        self.changes = ChangeFeed(self.link, self.background)
        self._periodic = PeriodicWork(self.connections, self.access, self.credit)
        self._channel = NotificationChannel(self.process, self.subscribers.deliver, self._on_subscribed)
        self._connection_count = 0
        self._is_started = False
        self._unsubscribe: list[Callable[[], None]] = []

    def start(self) -> None:
        """Begin the background work. Repeatable."""
        if self._is_started:
            return
        self._is_started = True
        self.spawn(self._channel.run())
        self.spawn(self._periodic.run())
        drain.on_drain(self.ask_all_to_reconnect)
        caching.listen()
        self._unsubscribe = [*self.access.subscribe(), self.credit.subscribe()]

    async def close(self) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self.changes.close()
        await self.background.close()
        await self.link.close()
        await redis_clients.close_hot()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run in the background until it ends or the hub is closed."""
        return self.background.spawn(work)

    def new_connection(self) -> str:
        """Name for a connection, unique among all processes: `{process}.{number}`."""
        self._connection_count += 1
        return f"{self.process}.{self._connection_count}"

    async def enter(self, connection: ClientConnection) -> None:
        """Register a connection. Waits a moment for the subscription: a first notification may come soon."""
        self.start()
        self.connections.add(connection)
        SOCKETS.inc()
        await self._channel.wait_subscribed(SUBSCRIBE_SECONDS)

    def leave(self, connection: ClientConnection) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            SOCKETS.dec()

    def _on_subscribed(self) -> None:
        self.spawn(self._periodic.resync())

    async def ask_all_to_reconnect(self) -> None:
        """This process is ending: clients reconnect to another one."""
        await asyncio.gather(
            *(connection.ask_to_reconnect() for connection in tuple(self.connections)), return_exceptions=True
        )


hub = PerLoop(NotificationHub)
