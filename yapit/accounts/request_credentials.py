"""What somebody shows at the door: a key, a ticket, a session's cookie, or nothing. Reads headers and address
of an ASGI scope; whether any of it holds is not found out here.
"""

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
    """Refuse a key in an address, wherever it stands: proxies and browsers write addresses down."""
    query = _query(scope)
    is_there = query and KEY_ANYWHERE.search(unquote_to_bytes(query) if b"%" in query else query)
    path = scope.get("path", "")
    if is_there or ("yk_" in path and KEY_ANYWHERE.search(path.encode())):
        raise NotAuthenticated(
            "key_in_address",
            "A key in an address is written into logs: revoke it, and send keys in a header.",
        )


def _query(scope: Scope) -> bytes:
    query: bytes | str = scope.get("query_string", b"")
    return query.encode() if isinstance(query, str) else query  # of Django's test client


def headers_of(scope: Scope) -> Headers:
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        name = name.lower()
        if name in (b"authorization", b"host", b"origin") and headers.get(name, value) != value:
            raise NotAuthenticated("conflicting_headers", f"There are several {name.decode()} headers.")
        # HTTP/2 splits cookies over several headers.
        headers[name] = headers[name] + b"; " + value if name == b"cookie" and name in headers else value
    return headers


def key_of(scope: Scope, headers: Headers) -> str | None:
    """The API key of a connection, well-formed or not; None: there is none."""
    authorization = headers.get(b"authorization", b"").decode("latin-1").strip()
    scheme, _, token = authorization.partition(" ")
    if scheme and scheme.lower() != "basic":  # a password in front of this site is not ours to judge
        return token.strip() if scheme.lower() == "bearer" else authorization
    for offered in scope.get("subprotocols", ()):
        if offered.startswith(KEY_SUBPROTOCOL):
            return str(offered.removeprefix(KEY_SUBPROTOCOL))
    return None


def ticket_of(scope: Scope) -> str | None:
    """The ticket in the address of a socket, well-formed or not; None: there is none."""
    query = _query(scope)
    if scope["type"] != "websocket" or b"ticket=" not in query:
        return None
    try:
        given = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        return ""
    tickets = given.get("ticket")
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
