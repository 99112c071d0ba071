"""Health check of the web process at `/health`. Responds within a second, also when a server hangs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal, cast

import psycopg
import redis
from django.db import connections
from django.http import HttpRequest, JsonResponse

import config.redis.clients
from config.redis.keys import STOPPED_CONSUMERS
from config.serving.drain import is_draining

Verdict = Literal["ok", "unreachable", "timeout"]

CHECK_SECONDS = 0.8
# The check is public and opens a connection: within this time, requests get the same result.
CACHED_SECONDS = 1.0
_stopped: list[str] = []  # consumers that their brakes have stopped, as of the last check
_cached: tuple[float, asyncio.Task[dict[str, Verdict]]] | None = None


def forget() -> None:
    """Check anew at the next request."""
    global _cached
    _cached = None


async def health(request: HttpRequest) -> JsonResponse:
    checks = await _recent_checks()
    status = "draining" if is_draining() else summary(checks)
    answer: dict[str, object] = {"status": status, "checks": checks}
    if _stopped:
        answer["stopped_consumers"] = _stopped
    response = JsonResponse(answer, status=200 if status == "ok" else 503)
    response["Cache-Control"] = "no-store"
    return response


def summary(checks: dict[str, Verdict]) -> str:
    return "ok" if set(checks.values()) == {"ok"} else "unavailable"


async def _recent_checks() -> dict[str, Verdict]:
    """One round of checks for concurrent requests. Cancelling a request does not cancel the checks."""
    global _cached
    now = time.monotonic()
    loop = asyncio.get_running_loop()
    if _cached is None or now - _cached[0] > CACHED_SECONDS or _cached[1].get_loop() is not loop:
        _cached = now, loop.create_task(_checks())
    return await asyncio.shield(_cached[1])


async def _checks() -> dict[str, Verdict]:
    checks = {"postgresql": _check_postgresql, "redis": _check_redis}
    verdicts = await asyncio.gather(*(_verdict(check) for check in checks.values()))
    return dict(zip(checks, verdicts, strict=True))


async def _verdict(check: Callable[[], Awaitable[None]]) -> Verdict:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return "timeout"
    except (psycopg.Error, redis.RedisError, OSError):
        return "unreachable"
    return "ok"


async def _check_postgresql() -> None:
    """On a separate connection: a full pool is busy and not broken, and threads may be busy as well."""
    parameters = connections["default"].get_connection_params()
    names = {"host", "port", "user", "password", "dbname", "sslmode", "service"}
    selected = {name: value for name, value in parameters.items() if name in names}
    async with await psycopg.AsyncConnection.connect(**selected, autocommit=True) as connection:
        await connection.execute("SELECT 1")


async def _check_redis() -> None:
    global _stopped
    consumers = await cast(Awaitable[list[bytes]], config.redis.clients.hot().hkeys(STOPPED_CONSUMERS))
    _stopped = sorted(name.decode() for name in consumers)
