"""Request credentials: the API key, ticket or session cookie of an ASGI scope, not yet checked."""

import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes

from django.conf import settings

from yapit.errors import NotAuthenticated

KEY_SUBPROTOCOL = "yapit.key."
KEY_ANYWHERE = re.compile(rb"yk_[0-9a-z]{8,16}_[0-9a-f]{48}")
MOST_PARAMETERS = 20

Scope = Mapping[str, Any]
Headers = Mapping[bytes, bytes]


def check_address(scope: Scope) -> None:
    """Refuse an API key anywhere in the address, since proxies and browsers store addresses."""
    query = _query(scope)
    is_in_query = query and KEY_ANYWHERE.search(unquote_to_bytes(query) if b"%" in query else query)
    path = scope.get("path", "")
    if is_in_query or ("yk_" in path and KEY_ANYWHERE.search(path.encode())):
        raise NotAuthenticated(
            "key_in_address",
            "A key in an address is written into logs: revoke it, and send keys in a header.",
        )


def _query(scope: Scope) -> bytes:
    query: bytes | str = scope.get("query_string", b"")
    return query.encode() if isinstance(query, str) else query  # Django's test client sends str


def headers_of(scope: Scope) -> Headers:
    """Headers by lower-case name. Raises NotAuthenticated for contradictory ones."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        name = name.lower()
        if name in (b"authorization", b"host", b"origin") and headers.get(name, value) != value:
            raise NotAuthenticated("conflicting_headers", f"There are several {name.decode()} headers.")
        # HTTP/2 splits cookies over several headers.
        headers[name] = headers[name] + b"; " + value if name == b"cookie" and name in headers else value
    return headers


def key_of(scope: Scope, headers: Headers) -> str | None:
    """The API key in a header or subprotocol, possibly malformed; None if there is none."""
    authorization = headers.get(b"authorization", b"").decode("latin-1").strip()
    scheme, _, token = authorization.partition(" ")
    if scheme and scheme.lower() != "basic":  # Basic is for a proxy in front
        return token.strip() if scheme.lower() == "bearer" else authorization
    for offered in scope.get("subprotocols", ()):
        if offered.startswith(KEY_SUBPROTOCOL):
            return str(offered.removeprefix(KEY_SUBPROTOCOL))
    return None


def ticket_of(scope: Scope) -> str | None:
    """The ticket in the address of a WebSocket, possibly malformed; None if there is none."""
    query = _query(scope)
    if scope["type"] != "websocket" or b"ticket=" not in query:
        return None
    try:
        parameters = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        return ""
    tickets = parameters.get("ticket")
    if tickets is None:
        return None
    return tickets[0] if len(tickets) == 1 else ""


def session_key_of(headers: Headers) -> str | None:
    try:
        cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return None
    morsel = cookies.get(settings.SESSION_COOKIE_NAME)
    return morsel.value or None if morsel else None
