"""Redis Pub/Sub subscription of one web process: the channel `notify:{process}`."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from redis import exceptions as redis_errors

from config.observability import metrics
from config.redis import multiplexed
from yapit import redis_keys

logger = logging.getLogger(__name__)

HASH_LENGTH = 64
SILENT_SECONDS = 5.0

RECEIVED = metrics.counter("notifications", "Completion notifications received")


class NotificationChannel:
    """Keeps the subscription, with back-off when Redis fails. Messages published in between are lost.

    `on_notification` is called with the hash, the status and the detail of a job that ended;
    `on_subscribed` after each new subscription.
    """

    def __init__(
        self,
        process: str,
        on_notification: Callable[[str, str, bytes], None],
        on_subscribed: Callable[[], None],
    ) -> None:
        self._name = redis_keys.notify(process)
        self._on_notification = on_notification
        self._on_subscribed = on_subscribed
        self._subscribed = asyncio.Event()
        self._is_silent = False

    async def wait_subscribed(self, seconds: float) -> None:
        """Return when subscribed, or when the time is over."""
        try:
            await asyncio.wait_for(self._subscribed.wait(), seconds)
        except TimeoutError:
            logger.warning("Not subscribed to completion notifications yet")

    async def run(self) -> None:
        delay = 0.0
        while True:
            try:
                await self._receive()
            except redis_errors.RedisError as error:
                delay = 0.1 if self._subscribed.is_set() else min(5.0, delay * 2 or 0.1)
                self._subscribed.clear()
                logger.warning(
                    "Completion notifications: %s; subscribing again in %.1f s", type(error).__name__, delay
                )
                await asyncio.sleep(delay)

    async def _receive(self) -> None:
        connection = await multiplexed.connect(settings.REDIS_URL, self._on_message)
        self._is_silent = False
        try:
            connection.send(("SUBSCRIBE", self._name))
            while not connection.lost.done():
                await asyncio.wait({connection.lost}, timeout=SILENT_SECONDS)
                # A connection to a host that vanished looks like an idle one.
                if self._is_silent:
                    raise redis_errors.ConnectionError("Redis is silent.")
                self._is_silent = True
                connection.send(("PING",))
        finally:
            connection.close()
        raise redis_errors.ConnectionError("The connection to Redis is lost.")

    def _on_message(self, message: Any) -> None:
        self._is_silent = False
        if message[0] == b"message":
            RECEIVED.inc()
            payload = message[2]
            variant, status = payload[:HASH_LENGTH].decode(), payload[HASH_LENGTH : HASH_LENGTH + 1].decode()
            # One object for all subscribers: its hash, a cache key later, is computed once.
            self._on_notification(variant, status, payload[HASH_LENGTH + 1 :])
        elif message[0] == b"subscribe":
            self._subscribed.set()
            self._on_subscribed()
