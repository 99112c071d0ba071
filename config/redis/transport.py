"""Connections of asyncio protocols to Redis: TCP, TLS or a Unix socket, as its address says."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from config.redis.address import RedisAddress

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def open_transport(address: RedisAddress, make_protocol: Callable[[], P]) -> P:
    """The connected protocol, not logged in yet (see `RedisAddress.greeting`). Raises OSError."""
    loop = asyncio.get_running_loop()
    if address.path is not None:
        _, protocol = await loop.create_unix_connection(make_protocol, address.path)
        return protocol
    context = address.tls.context() if address.tls else None
    _, protocol = await loop.create_connection(make_protocol, address.host, address.port, ssl=context)
    return protocol
