"""ASGI application for web processes of tests: health, a slow response, and sockets that follow commands."""

import asyncio
import os

from django.core.asgi import get_asgi_application
from django.urls import path

from config.observability.health import health
from config.serving import guards

guards.HTTP_SECONDS = float(os.environ.get("HTTP_SECONDS", guards.HTTP_SECONDS))
urlpatterns = [path("health", health)]
django_application = get_asgi_application()


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await socket(receive, send)
    elif scope["path"] == "/slow":
        await slow_response(float(scope["query_string"]), send)
    elif scope["path"] == "/headers":
        await names_of_headers(scope, receive, send)
    else:
        await django_application(scope, receive, send)


async def slow_response(seconds, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"begin", "more_body": True})
    await asyncio.sleep(seconds)
    await send({"type": "http.response.body", "body": b"ended"})


async def names_of_headers(scope, receive, send):
    """Respond with the names of the headers after the complete body."""
    while (await receive()).get("more_body"):
        pass
    names = b" ".join(name for name, _ in scope["headers"])
    start = [(b"content-length", b"%d" % len(names))]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await send({"type": "http.response.body", "body": names})


async def socket(receive, send):
    """Echo a message, send a number of bytes, close with a given code, or sleep, as each message says."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message["text"]
        if text == "sleep":
            await asyncio.sleep(60)
        elif text.startswith("send "):
            await send({"type": "websocket.send", "text": "x" * int(text.removeprefix("send "))})
        elif text.isdigit():
            await send({"type": "websocket.close", "code": int(text), "reason": "because"})
        else:
            await send({"type": "websocket.send", "text": text})
