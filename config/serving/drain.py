"""Graceful shutdown of the web process: the drain between SIGTERM and exit.

It precedes the shutdown of the servers, which differ: uvicorn closes WebSockets, daphne drops them.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

logger = logging.getLogger(__name__)

CALLBACK_SECONDS = 2.0
POLL_SECONDS = 0.02

Callback = Callable[[], Awaitable[None]]
_callbacks: list[Callback] = []
_draining = False


class Serving(Protocol):
    """A running server, as the drain uses it."""

    def stop_accepting(self) -> None: ...
    def close_sockets(self) -> None:
        """Close open WebSockets with code 1012."""

    def is_idle(self) -> bool:
        """Whether no response is being sent and no WebSocket is open."""


def on_drain(callback: Callback) -> None:
    """Register a coroutine function to call once at the start of the drain, before sockets are closed."""
    _callbacks.append(callback)


def is_draining() -> bool:
    """Whether the drain has begun: /health returns 503, and new WebSockets should be refused."""
    return _draining


async def drain(serving: Serving, seconds: float) -> None:
    """Return when no connection is open, at the latest after `seconds`."""
    global _draining
    _draining = True
    deadline = time.monotonic() + seconds
    serving.stop_accepting()
    await _run_callbacks()
    serving.close_sockets()
    while not serving.is_idle() and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)


async def _run_callbacks() -> None:
    calls = asyncio.gather(*(callback() for callback in _callbacks), return_exceptions=True)
    try:
        outcomes = await asyncio.wait_for(calls, CALLBACK_SECONDS)
    except TimeoutError:
        logger.warning("The callbacks of the drain did not finish in time")
        return
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            logger.error("A callback of the drain failed", exc_info=outcome)
