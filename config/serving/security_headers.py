"""What browsers are told of every answer: it is what it says, loads what is ours, and is framed by nobody."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

# The admin and the description of the API write styles into their pages, and scripts nowhere.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}

Sync = Callable[[HttpRequest], HttpResponseBase]
Async = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def security_headers(get_response: Sync | Async) -> Any:
    """Middleware. What a page has said itself stands."""
    if not iscoroutinefunction(get_response):
        return lambda request: _told(cast(Sync, get_response)(request))

    async def on_the_loop(request: HttpRequest) -> HttpResponseBase:
        return _told(await cast(Async, get_response)(request))

    return on_the_loop


def _told(answer: HttpResponseBase) -> HttpResponseBase:
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer
