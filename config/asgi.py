"""ASGI entry point: dispatches audio, WebSockets, the API and all other requests."""

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
from yapit.api.http.not_modified import NotModifiedLayer
from yapit.sockets.events_socket import EventsSocket
from yapit.sockets.synthesis_socket import SynthesisSocket

if not settings.SECRET_KEY:  # fail at start, not at the first log-in
    raise ImproperlyConfigured("Set SECRET_KEY to a long random text: it signs sessions and API keys.")

NO_SUCH_SOCKET = 4404
OVER_TLS = {"http": "https", "websocket": "wss"}
# Of the paths below /v1/audio/, models and voices/... belong to the API, all others to audio.
AUDIO = re.compile(r"/v1/audio/(?!models/?$|voices(/|$))")

api: Application = NotModifiedLayer(BodyLimit(ApiHandler(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE))
sockets: dict[str, Application] = {
    "/v1/ws/tts": SynthesisSocket.as_asgi(),
    "/v1/ws/events": EventsSocket.as_asgi(),
}
pages: Application = BodyLimit(ASGIHandler(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    scope = _normalized(scope)
    listen()  # at the first request: Daphne does not support lifespan
    if scope["type"] == "http":
        await _http_application(scope["path"])(scope, receive, send)
    elif scope["type"] == "websocket":
        # No authentication middleware: the consumer uses `yapit.accounts.identity` itself.
        await sockets.get(scope["path"], _no_such_socket)(scope, receive, send)
    else:
        raise ValueError(f"There is no {scope['type']} here.")


def _normalized(scope: Scope) -> Scope:
    """The scope with the scheme that the browser used, and without root_path: Daphne takes that from a
    request header, which any client can send.
    """
    changes = {"root_path": ""} if scope.get("root_path") else {}
    if settings.HTTPS and scope["type"] in OVER_TLS:
        changes["scheme"] = OVER_TLS[scope["type"]]
    return {**scope, **changes} if changes else scope


def _http_application(path: str) -> Application:
    if AUDIO.match(path):
        return audio
    return api if path.startswith("/v1/") or path == "/health" else pages


async def _no_such_socket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    await send({"type": "websocket.close", "code": NO_SUCH_SOCKET, "reason": "There is no such socket."})
