"""What /health says, and how fast."""

import json
import socket

import pytest
from django.db import connections

import config.observability.health
from config.observability.health import health


@pytest.fixture(autouse=True)
def _nothing_cached(monkeypatch):
    monkeypatch.setattr(config.observability.health, "_cached", None)


async def ask(rf):
    response = await health(rf.get("/health"))
    return response.status_code, json.loads(response.content)


async def test_all_is_well(rf, async_redis):
    assert await ask(rf) == (200, {"status": "ok", "checks": {"postgresql": "ok", "redis": "ok"}})


async def test_what_cannot_be_reached_is_named_and_nothing_else(rf, settings, monkeypatch):
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1/0"
    monkeypatch.setitem(connections["default"].settings_dict, "PORT", "1")

    status, answer = await ask(rf)

    assert status == 503
    assert answer == {
        "status": "unavailable",
        "checks": {"postgresql": "unreachable", "redis": "unreachable"},
    }


async def test_a_server_that_hangs_is_not_waited_for(rf, async_redis, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setitem(connections["default"].settings_dict, "PORT", str(silent.getsockname()[1]))

        status, answer = await ask(rf)

    assert (status, answer["checks"]["postgresql"]) == (503, "timeout")


async def test_while_draining_it_sends_people_elsewhere(rf, async_redis, monkeypatch):
    monkeypatch.setattr("config.serving.drain._draining", True)

    status, answer = await ask(rf)

    assert (status, answer["status"]) == (503, "draining")
