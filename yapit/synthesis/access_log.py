"""Access log: hashes of audio that was fetched, written as orders for run_persister once a second."""

import asyncio
import logging
import time

from redis.exceptions import RedisError

from audiocache import aliases, orders
from config.per_loop import PerLoop
from config.redis import clients as redis_clients

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
BACKLOG_LIMIT = 200_000  # while Redis is unavailable; then the oldest are dropped


class AccessLog:
    """Time of the last access to each hash, of one event loop."""

    def __init__(self, seconds: float = FLUSH_SECONDS) -> None:
        self._seconds = seconds
        self._times: dict[str, int] = {}
        self._flushing: asyncio.Task[None] | None = None

    @property
    def backlog(self) -> int:
        """Hashes that are not written yet."""
        return len(self._times)

    def note(self, hash_hex: str) -> None:
        """Record an access that happens now."""
        self._times[hash_hex] = int(time.time() * 1000)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush_until_empty())

    async def flush(self) -> None:
        """Write all in one round trip. They are kept when Redis fails."""
        times, self._times = self._times, {}
        try:
            async with redis_clients.hot().pipeline(transaction=False) as pipe:
                orders.touch_at(pipe, aliases.AUDIO, times)
                await pipe.execute()
        except RedisError as exc:
            logger.warning("%d accesses wait to be written: %s", len(times), type(exc).__name__)
            backlog = times | self._times
            self._times = dict(list(backlog.items())[-BACKLOG_LIMIT:])

    async def _flush_until_empty(self) -> None:
        while self._times:
            await asyncio.sleep(self._seconds)
            await self.flush()
        self._flushing = None


access_log = PerLoop(AccessLog)
