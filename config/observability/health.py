"""`/health`: can this process do its work? Answers within a second, also when what it asks hangs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import psycopg
import redis
from django.db import connections
from django.http import HttpRequest, JsonResponse

import config.redis.clients
from config.serving.drain import is_draining

Verdict = Literal["ok", "unreachable", "timeout"]

CHECK_SECONDS = 0.8
# Anybody may ask, and each asking opens a connection: more often than this gets the same answer.
KEPT_SECONDS = 1.0
_kept: tuple[float, asyncio.Task[dict[str, Verdict]]] | None = None


async def health(request: HttpRequest) -> JsonResponse:
    checks = await _recent_checks()
    status = "draining" if is_draining() else summary(checks)
    answer = JsonResponse({"status": status, "checks": checks}, status=200 if status == "ok" else 503)
    answer["Cache-Control"] = "no-store"
    return answer


def summary(checks: dict[str, Verdict]) -> str:
    return "ok" if set(checks.values()) == {"ok"} else "unavailable"


async def _recent_checks() -> dict[str, Verdict]:
    """One round of checks for all who ask at the same time; a caller that leaves does not end it."""
    global _kept
    now = time.monotonic()
    loop = asyncio.get_running_loop()
    if _kept is None or now - _kept[0] > KEPT_SECONDS or _kept[1].get_loop() is not loop:
        _kept = now, loop.create_task(_checks())
    return await asyncio.shield(_kept[1])


async def _checks() -> dict[str, Verdict]:
    checks = {"postgresql": _ask_postgresql, "redis": _ask_redis}
    verdicts = await asyncio.gather(*(_verdict(ask) for ask in checks.values()))
    return dict(zip(checks, verdicts, strict=True))


async def _verdict(ask: Callable[[], Awaitable[None]]) -> Verdict:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await ask()
    except TimeoutError:
        return "timeout"
    except (psycopg.Error, redis.RedisError, OSError):
        return "unreachable"
    return "ok"


async def _ask_postgresql() -> None:
    """Over a connection of its own: a full pool is busy, not broken, and must not hide behind a thread."""
    parameters = connections["default"].get_connection_params()
    wanted = {"host", "port", "user", "password", "dbname", "sslmode", "service"}
    chosen = {name: value for name, value in parameters.items() if name in wanted}
    async with await psycopg.AsyncConnection.connect(**chosen, autocommit=True) as connection:
        await connection.execute("SELECT 1")


async def _ask_redis() -> None:
    await config.redis.clients.hot().ping()
