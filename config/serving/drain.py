"""Leaving without a bang: what the web process does between SIGTERM and its end.

The servers differ here (uvicorn closes sockets, daphne cuts them), so this stands in front of both.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

logger = logging.getLogger(__name__)

TELL_SECONDS = 2.0
POLL_SECONDS = 0.02

Farewell = Callable[[], Awaitable[None]]
_farewells: list[Farewell] = []
_draining = False


class Serving(Protocol):
    """A running server, as far as its end is concerned."""

    def stop_accepting(self) -> None: ...
    def close_sockets(self) -> None:
        """Close the WebSockets that are still open, with 1012."""

    def is_idle(self) -> bool:
        """No response is on its way, no socket is open."""


def on_drain(farewell: Farewell) -> None:
    """Have this awaited once, when the drain begins: the time to tell open sockets to come back elsewhere."""
    _farewells.append(farewell)


def is_draining() -> bool:
    """From here on health says 503 and no new socket should be taken."""
    return _draining


async def drain(serving: Serving, seconds: float) -> None:
    """Return when nothing is open any more, at the latest after `seconds`."""
    global _draining
    _draining = True
    deadline = time.monotonic() + seconds
    serving.stop_accepting()
    await _tell()
    serving.close_sockets()
    while not serving.is_idle() and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)


async def _tell() -> None:
    told = asyncio.gather(*(farewell() for farewell in _farewells), return_exceptions=True)
    try:
        outcomes = await asyncio.wait_for(told, TELL_SECONDS)
    except TimeoutError:
        logger.warning("some sockets could not be told of the drain in time")
        return
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            logger.error("a farewell failed", exc_info=outcome)
