"""The application that servers run: tells audio, sockets, the API and everything else apart."""

import os
import re

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup(set_prefix=False)

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler

from config.caching import listen
from yapit.api.audio import application as audio
from yapit.api.http.body_limit import Application, BodyLimit, Receive, Scope, Send
from yapit.api.http.handler import ApiHandler
from yapit.api.http.not_modified import Front
from yapit.sockets.synthesis_socket import SynthesisSocket

if not settings.SECRET_KEY:  # said here, and not to the first who logs in
    raise ImproperlyConfigured("Set SECRET_KEY to a long random text: it signs sessions and API keys.")

SOCKET = "/v1/ws/tts"
NO_SUCH_SOCKET = 4404
OVER_TLS = {"http": "https", "websocket": "wss"}
# Models, and voices with what is below them, are the API's; everything else is audio, or nothing.
AUDIO = re.compile(r"/v1/audio/(?!models/?$|voices(/|$))")

api: Application = Front(BodyLimit(ApiHandler(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE))
socket: Application = SynthesisSocket.as_asgi()
pages: Application = BodyLimit(ASGIHandler(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    scope = _as_reached(scope)
    listen()  # nobody else says when the event loop begins: Daphne has no lifespan
    if scope["type"] == "http":
        await _http(scope["path"])(scope, receive, send)
    elif scope["type"] == "websocket":
        # No session or account is looked up in front: the socket asks `yapit.accounts.identity` itself.
        await (socket if scope["path"] == SOCKET else _no_such_socket)(scope, receive, send)
    else:
        raise ValueError(f"There is no {scope['type']} here.")


def _as_reached(scope: Scope) -> Scope:
    """As the browser reached the proxy in front. There is no prefix: daphne takes one from a header, and
    anybody may send that.
    """
    changed = {"root_path": ""} if scope.get("root_path") else {}
    if settings.HTTPS and scope["type"] in OVER_TLS:
        changed["scheme"] = OVER_TLS[scope["type"]]
    return {**scope, **changed} if changed else scope


def _http(path: str) -> Application:
    if AUDIO.match(path):
        return audio
    return api if path.startswith("/v1/") or path == "/health" else pages


async def _no_such_socket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    await send({"type": "websocket.close", "code": NO_SUCH_SOCKET, "reason": "There is no such socket."})
