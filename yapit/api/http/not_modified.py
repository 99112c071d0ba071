"""Conditional GETs of shared responses, answered with 304 by an ASGI layer before Django.

Django needs most of a millisecond for the same 304. It answers the first request of a URL and registers its
response here; a URL that is not registered, or no longer current, is passed on to Django.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse

from config.observability.logging import acceptable, log_access
from yapit.accounts.identity import identify_scope
from yapit.api.http import conditional
from yapit.api.http.auth import WITHOUT_CREDENTIALS
from yapit.api.http.body_limit import Application, Receive, Scope, Send
from yapit.errors import AuthenticationUnavailable, NotAuthenticated, OriginRefused

MAX_RESPONSES = 1000
MAX_QUERY_LENGTH = 200
REPEATED_HEADERS = ("ETag", "Cache-Control", "Vary")
CREDENTIALS = frozenset({b"authorization", b"cookie"})
Headers = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class CurrentResponse:
    tag: str  # without quotes
    headers: tuple[tuple[bytes, bytes], ...]
    is_current: Callable[[], bool]
    anonymous_only: bool  # requests with credentials may get another response


# By path and query string, least recently registered first.
responses: "OrderedDict[tuple[str, bytes], CurrentResponse]" = OrderedDict()


def remember(
    request: HttpRequest, response: HttpResponse, is_current: Callable[[], bool], *, anonymous_only: bool
) -> None:
    """Register a response that is the same for all clients, or for all without credentials."""
    scope = getattr(request, "scope", None)
    is_complete = response.status_code in (200, 304) and request.method == "GET"
    if scope is None or not is_complete or len(scope["query_string"]) > MAX_QUERY_LENGTH:
        return
    headers = [
        (name.lower().encode(), response[name].encode()) for name in REPEATED_HEADERS if name in response
    ]
    key = (scope["path"], scope["query_string"])
    responses[key] = CurrentResponse(response["ETag"].strip('"'), tuple(headers), is_current, anonymous_only)
    responses.move_to_end(key)
    if len(responses) > MAX_RESPONSES:
        responses.popitem(last=False)


class NotModifiedLayer:
    """ASGI middleware: answers 304 itself where the client's copy is current."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        current = _current_response(scope, headers)
        if current is None or not await _is_allowed(scope):
            await self.application(scope, receive, send)
            return
        request_id = acceptable(headers.get(b"x-request-id", b"").decode("latin-1")).encode()
        sent = [*current.headers, (b"x-request-id", request_id)]
        await send({"type": "http.response.start", "status": 304, "headers": sent})
        await send({"type": "http.response.body", "body": b""})
        log_access("GET", scope["path"], 304, time.perf_counter() - started)


def _current_response(scope: Scope, headers: Headers) -> CurrentResponse | None:
    tags = headers.get(b"if-none-match")
    if tags is None or scope["method"] != "GET" or b"if-match" in headers:
        return None
    response = responses.get((scope["path"], scope["query_string"]))
    if response is None or not conditional.is_known(tags.decode("latin-1"), response.tag):
        return None
    if response.anonymous_only and not CREDENTIALS.isdisjoint(headers):
        return None
    return response if response.is_current() else None


async def _is_allowed(scope: Scope) -> bool:
    """Whether Django would serve the request. False also on failures, which Django then reports."""
    try:
        await identify_scope(scope)
    except NotAuthenticated as refused:
        return refused.code in WITHOUT_CREDENTIALS
    except (OriginRefused, AuthenticationUnavailable):
        return False
    return True
