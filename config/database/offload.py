"""Blocking code in threads, for async callers: the ORM, and parsing that would block the event loop."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from channels.db import database_sync_to_async

P = ParamSpec("P")
T = TypeVar("T")


async def offload(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` in a thread, and return its database connection to the pool afterwards."""
    # thread_sensitive=True would run all calls of the process in one thread.
    call = database_sync_to_async(function, thread_sensitive=False)
    return cast(T, await call(*args, **kwargs))
