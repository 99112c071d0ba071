"""Groups of the channel layer that one web process has joined, with one channel for all its connections.

The layer is no delivery guarantee: messages are lost while its connection to Redis is down.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

JOIN_SECONDS = 1.0
PAUSE_SECONDS = 1.0
FAILURES = (RedisError, OSError, TimeoutError)


class LayerGroups:
    """`on_message` is called with each message of a joined group, once for the process."""

    def __init__(self, on_message: Callable[[dict[str, Any]], None]) -> None:
        self._on_message = on_message
        self._wanted: Counter[str] = Counter()
        self._joined: set[str] = set()
        self._channel: str | None = None
        self._ready = asyncio.Event()

    async def run(self) -> None:
        layer = get_channel_layer()
        while True:
            try:
                self._channel = await layer.new_channel()
                self._joined.clear()
                self._ready.set()
                await self.join_wanted()
                while True:
                    self._on_message(await layer.receive(self._channel))
            except FAILURES as error:
                logger.warning("The channel layer is not reachable: %s", type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)

    async def join(self, *groups: str) -> None:
        """Join these groups, or go on joining them in the background when Redis does not answer in time."""
        self._wanted.update(groups)
        await self.join_wanted()

    async def leave(self, *groups: str) -> None:
        """To be called as often as `join`: several connections may need a group."""
        layer = get_channel_layer()
        for group in groups:
            self._wanted[group] -= 1
            if self._wanted[group] > 0:
                continue
            del self._wanted[group]
            if group in self._joined and self._channel:
                self._joined.discard(group)
                try:
                    async with asyncio.timeout(JOIN_SECONDS):
                        await layer.group_discard(group, self._channel)
                except FAILURES as error:
                    logger.info("A group of the channel layer was not left: %s", type(error).__name__)

    async def join_wanted(self) -> None:
        """Join the groups that are wanted and not joined. Repeatable; never raises."""
        layer = get_channel_layer()
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await self._ready.wait()
                for group in [group for group in self._wanted if group not in self._joined]:
                    await layer.group_add(group, self._channel)
                    if group in self._wanted:
                        self._joined.add(group)
                    else:  # left meanwhile
                        await layer.group_discard(group, self._channel)
        except FAILURES as error:
            logger.warning("Groups of the channel layer were not joined: %s", type(error).__name__)
