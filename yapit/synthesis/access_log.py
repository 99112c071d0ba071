"""What listeners fetched, told to run_persister once a second: it keeps what is used."""

import asyncio
import logging
import time

from redis.exceptions import RedisError

from audiocache import orders
from config.per_loop import PerLoop
from config.redis import clients as redis_clients

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
KEPT = 200_000  # while Redis is away; then the oldest are forgotten


class Touches:
    """Of one event loop. Each hash with the time when it was fetched last."""

    def __init__(self, seconds: float = FLUSH_SECONDS) -> None:
        self._seconds = seconds
        self._times: dict[str, int] = {}
        self._flushing: asyncio.Task[None] | None = None

    def note(self, hash_hex: str) -> None:
        self._times[hash_hex] = int(time.time() * 1000)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush_until_empty())

    async def flush(self) -> None:
        """All at once, whatever their number. What cannot be told now is kept."""
        times, self._times = self._times, {}
        try:
            async with redis_clients.hot().pipeline(transaction=False) as pipe:
                orders.touch_at(pipe, "audio", times)
                await pipe.execute()
        except RedisError as exc:
            logger.warning("%d touches wait: %s", len(times), type(exc).__name__)
            kept = times | self._times
            self._times = dict(list(kept.items())[-KEPT:])

    async def _flush_until_empty(self) -> None:
        while self._times:
            await asyncio.sleep(self._seconds)
            await self.flush()
        self._flushing = None


touches = PerLoop(Touches)
