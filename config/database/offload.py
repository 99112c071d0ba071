"""Runs blocking code of an async caller: the ORM, and parsing that would hold the event loop."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from channels.db import database_sync_to_async

P = ParamSpec("P")
T = TypeVar("T")


async def offload(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in a thread of the pool, its database connection given back afterwards."""
    # thread_sensitive: the default would put everything in this process on one thread.
    call = database_sync_to_async(function, thread_sensitive=False)
    return cast(T, await call(*args, **kwargs))
