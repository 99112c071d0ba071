"""Limit of the request body size, enforced while receiving: Django would spool all of it to disk first."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from yapit.api.http import errors

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[..., Awaitable[None]]


class BodyLimit:
    """ASGI middleware: rejects requests with a body of more than `limit` bytes (413)."""

    def __init__(self, application: Application, limit: int) -> None:
        self._application = application
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _content_length(scope) > self._limit:
            await _send_too_large(send)
            return
        body = _LimitedBody(receive, self._limit)
        await self._application(scope, body.receive, send)
        if body.is_too_large:  # cut off while it was read, so no response has been sent
            await _send_too_large(send)


class _LimitedBody:
    """Receives the body up to the limit; past it, the application gets a disconnect."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._remaining = limit

    @property
    def is_too_large(self) -> bool:
        return self._remaining < 0

    async def receive(self) -> Any:
        event = await self._receive()
        if event["type"] == "http.request":
            self._remaining -= len(event.get("body", b""))
        return {"type": "http.disconnect"} if self.is_too_large else event


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"] if scope["type"] == "http" else ():
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def _send_too_large(send: Send) -> None:
    response = errors.response(413, errors.TOO_LARGE)
    headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
    await send(
        {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": [*headers, (b"connection", b"close")],
        }
    )
    await send({"type": "http.response.body", "body": response.content})
