"""Refuses a request that is too large while it comes in: Django would write all of it to disk first."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from yapit.api.http import errors

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[..., Awaitable[None]]


class BodyLimit:
    """ASGI: lets so many bytes of a request through to the application."""

    def __init__(self, application: Application, limit: int) -> None:
        self._application = application
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _announced(scope) > self._limit:
            await _refuse(send)
            return
        body = _Counted(receive, self._limit)
        await self._application(scope, body.receive, send)
        if body.is_too_large:  # and was cut off while it was read, so nothing has been answered
            await _refuse(send)


class _Counted:
    """Receives until it is too much; the application is then told that the client has left."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit

    @property
    def is_too_large(self) -> bool:
        return self._left < 0

    async def receive(self) -> Any:
        event = await self._receive()
        if event["type"] == "http.request":
            self._left -= len(event.get("body", b""))
        return {"type": "http.disconnect"} if self.is_too_large else event


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"] if scope["type"] == "http" else ():
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def _refuse(send: Send) -> None:
    answer = errors.response(413, errors.TOO_LARGE)
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.items()]
    await send(
        {
            "type": "http.response.start",
            "status": answer.status_code,
            "headers": [*headers, (b"connection", b"close")],
        }
    )
    await send({"type": "http.response.body", "body": answer.content})
