"""The Ninja API: routers, JSON parser and renderer."""

import json
from typing import Any, NoReturn

import msgspec
from django.http import HttpRequest
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from yapit.api.description import DescribedAPI
from yapit.api.http import errors
from yapit.api.http.auth import RequireAccount
from yapit.api.openai import discovery
from yapit.api.v1 import (
    account,
    documents,
    keys,
    leaderboard,
    speech,
    tickets,
    usage,
)

DESCRIPTION = """\
Text to speech. Create a document from a text, request the audio of its blocks over the WebSocket
`/v1/ws/tts`, and fetch it from `/v1/audio/{hash}`. The WebSocket `/v1/ws/events` tells what has changed.

Every error is `{"error": {"message", "type", "param", "code"}}`; `code` is stable and meant for programs."""


class StrictParser(Parser):
    """Strict JSON: rejects NaN, Infinity and excessive nesting, which `json.loads` accepts."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        try:
            parsed: dict[str, Any] = json.loads(request.body, parse_constant=_reject_constant)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        return parsed


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class Renderer(BaseRenderer):
    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return msgspec.json.encode(data)


api = DescribedAPI(
    title="Yapit",
    version="1",
    description=DESCRIPTION,
    urls_namespace="v1",
    auth=RequireAccount(),
    parser=StrictParser(),
    renderer=Renderer(),
)
errors.register(api)
ROUTERS = (
    ("/documents", documents.router),
    ("/me", account.router),
    ("/keys", keys.router),
    ("/ws", tickets.router),
    ("/leaderboard", leaderboard.router),
    ("", usage.router),
    ("", speech.router),
    ("", discovery.router),
)
for prefix, router in ROUTERS:
    api.add_router(prefix, router)
