"""Background tasks of one event loop, kept referenced until they end."""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any

from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


class BackgroundTasks:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel all tasks and wait for them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def run_all(work: Iterable[Awaitable[None]]) -> None:
    """Run concurrently. An error is logged and does not affect the others."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, RedisError):
            logger.warning("A check of open connections failed: %s", type(outcome).__name__)
        elif isinstance(outcome, Exception):
            logger.error("A check of open connections failed", exc_info=outcome)
