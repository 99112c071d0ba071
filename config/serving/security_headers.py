"""Security headers of every response: CSP, nosniff, frame-ancestors, referrer policy."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware


def content_security_policy(*directives: str) -> str:
    """Policy that allows resources of this origin only, except for what `directives` add."""
    common = ("object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'")
    return "; ".join(["default-src 'self'", *directives, *common])


# The admin and the API documentation contain inline styles, but no inline scripts.
POLICY = content_security_policy("style-src 'self' 'unsafe-inline'", "img-src 'self' data:")
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
    """Middleware. Headers that the view has set are kept."""
    if not iscoroutinefunction(get_response):
        return lambda request: _with_headers(cast(Sync, get_response)(request))

    async def call_async(request: HttpRequest) -> HttpResponseBase:
        return _with_headers(await cast(Async, get_response)(request))

    return call_async


def _with_headers(response: HttpResponseBase) -> HttpResponseBase:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
