"""The API put together: its routes, how it reads and writes JSON, and its description."""

import json
from typing import Any, NoReturn

import msgspec
from django.http import HttpRequest
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from yapit.api.description import DescribedAPI
from yapit.api.http import errors
from yapit.api.http.auth import Account
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
Text in, speech out. Bring a text as a document, then ask for the audio of its blocks over the WebSocket
`/v1/ws/tts`, and fetch it from `/v1/audio/{hash}`.

Every error is `{"error": {"message", "type", "param", "code"}}`; `code` is meant for programs."""


class StrictParser(Parser):
    """JSON as its standard has it, and nothing that a number column or an ETag could trip over."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        try:
            parsed: dict[str, Any] = json.loads(request.body, parse_constant=_refuse)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        return parsed


def _refuse(name: str) -> NoReturn:
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
    auth=Account(),
    parser=StrictParser(),
    renderer=Renderer(),
)
errors.register(api)
api.add_router("/documents", documents.router)
api.add_router("/me", account.router)
api.add_router("/keys", keys.router)
api.add_router("/ws", tickets.router)
api.add_router("/leaderboard", leaderboard.router)
api.add_router("", usage.router)
api.add_router("", speech.router)
api.add_router("", discovery.router)
