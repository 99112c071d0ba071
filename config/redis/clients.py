"""Clients of redis-py for requests, subscriptions, blocking reads, locks and scripts. Replies are bytes.

By default redis-py repeats a command up to ten times, also after it took effect. Here it is repeated once at
most, blocking reads never, and everything that is written is written by repeatable scripts.
"""

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from config.per_loop import PerLoop
from config.redis import address

HOT_CONNECTIONS = 32  # for each event loop


def _make_hot() -> redis.asyncio.Redis:
    where = address.parse(settings.REDIS_URL)
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        where.url,
        **where.client_options(),
        max_connections=HOT_CONNECTIONS,
        timeout=1,
        socket_connect_timeout=0.25,
        socket_timeout=1,
        retry=AsyncRetry(ConstantBackoff(0.02), 1),
    )
    return redis.asyncio.Redis(connection_pool=pool)


async def _close(client: redis.asyncio.Redis) -> None:
    await client.connection_pool.disconnect()


_hot = PerLoop(_make_hot, close=_close)  # making a client takes longer than most commands


def hot() -> redis.asyncio.Redis:
    """The client of requests, one for each event loop: fails within about two seconds. Need not be closed."""
    return _hot()


async def close_hot() -> None:
    """Close the pool of the running event loop, at the end of the loop."""
    client = _hot.pop()
    if client is not None:
        await _close(client)


def subscriber() -> redis.asyncio.Redis:
    """For one subscription; the caller closes it. Never reconnects silently, since messages may be lost."""
    where = address.parse(settings.REDIS_URL)
    return redis.asyncio.Redis.from_url(
        where.url,
        **where.client_options(),
        socket_connect_timeout=1,
        socket_timeout=None,
        health_check_interval=15,
        retry=AsyncRetry(NoBackoff(), 0),
    )


def blocking(block_seconds: float) -> redis.Redis:
    """For blocking reads of up to `block_seconds`. The caller closes it."""
    where = address.parse(settings.REDIS_URL)
    return redis.Redis.from_url(
        where.url,
        **where.client_options(),
        socket_connect_timeout=1,
        # Longer than the read: a time-out of the same length would interrupt each read without entries.
        socket_timeout=block_seconds + 5,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
    )


def named(name: str) -> redis.Redis:
    """One connection with this client name (CLIENT SETNAME). The caller closes it."""
    where = address.parse(settings.REDIS_URL)
    return redis.Redis.from_url(
        where.url,
        **where.client_options(),
        single_connection_client=True,
        client_name=name,
        socket_connect_timeout=1,
        socket_timeout=5,
        retry=Retry(NoBackoff(), 0),
    )


def sync() -> redis.Redis:
    """For consumers, commands and scripts. The caller closes it."""
    where = address.parse(settings.REDIS_URL)
    return redis.Redis.from_url(
        where.url,
        **where.client_options(),
        socket_connect_timeout=1,
        socket_timeout=5,
        health_check_interval=30,
        retry=Retry(ConstantBackoff(0.05), 1),
    )
