"""Waiting for a condition to become true, instead of fixed sleeps."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.01
# Generous, since only failing tests wait for so long, and a loaded machine is slow.
PATIENCE = 30.0
PROCESS_PATIENCE = 120.0  # for a process to start or to end


def wait_until(predicate: Callable[[], T], timeout: float = PATIENCE, message: str = "") -> T:
    """Return the first true value of the predicate. Raises AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not true within {timeout:g} s: {_source(predicate)}")
        time.sleep(INTERVAL)
    return value


async def async_wait_until(
    predicate: Callable[[], T | Awaitable[T]], timeout: float = PATIENCE, message: str = ""
) -> T:
    """Like `wait_until`, for tasks. The predicate may be a coroutine function."""
    deadline = time.monotonic() + timeout
    while True:
        outcome = predicate()
        value = await outcome if inspect.isawaitable(outcome) else outcome
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(message or f"not true within {timeout:g} s: {_source(predicate)}")
        await asyncio.sleep(INTERVAL)


def _source(predicate: Callable[..., object]) -> str:
    try:
        return inspect.getsource(predicate).strip()
    except OSError:
        return repr(predicate)
