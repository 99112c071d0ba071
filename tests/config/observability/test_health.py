"""/health: status, checks and time limit."""

import json
import socket

import pytest
from django.db import connections

import config.observability.health
from config.observability.health import forget, health


@pytest.fixture(autouse=True)
def _nothing_cached():
    forget()


async def get_health(rf):
    response = await health(rf.get("/health"))
    return response.status_code, json.loads(response.content)


async def test_reachable_servers_are_ok(rf, async_redis):
    assert await get_health(rf) == (200, {"status": "ok", "checks": {"postgresql": "ok", "redis": "ok"}})


async def test_unreachable_servers_are_named_without_details(rf, settings, monkeypatch):
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1/0"
    monkeypatch.setitem(connections["default"].settings_dict, "PORT", "1")

    status, body = await get_health(rf)

    assert status == 503
    assert body == {
        "status": "unavailable",
        "checks": {"postgresql": "unreachable", "redis": "unreachable"},
    }


async def test_a_server_that_hangs_is_a_timeout(rf, async_redis, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setitem(connections["default"].settings_dict, "PORT", str(silent.getsockname()[1]))

        status, body = await get_health(rf)

    assert (status, body["checks"]["postgresql"]) == (503, "timeout")


async def test_while_draining_it_returns_503(rf, async_redis, monkeypatch):
    monkeypatch.setattr(config.observability.health, "is_draining", lambda: True)

    status, body = await get_health(rf)

    assert (status, body["status"]) == (503, "draining")
