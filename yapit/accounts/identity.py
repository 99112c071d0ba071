"""Who is asking: one answer for HTTP and WebSocket, for keys, tickets, sessions and nobody at all.

A key always decides when there is one, then a ticket. In multi-user mode the session cookie is next. In
single-user mode there are no log-ins to look at: whoever reaches this machine is the account `local` (the
administrator's session belongs to /admin/ and does not change whose documents the reader shows).
"""

import asyncio
import hashlib
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.core.cache import InvalidCacheBackendError
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest
from django.utils import timezone
from redis.exceptions import RedisError

from config import caching
from config.database.offload import offload
from config.redis import clients as redis_clients
from yapit import invalidation
from yapit.accounts import authentication, keys, origins, request_credentials, tickets
from yapit.accounts.authentication import LOCAL_USERNAME, Identity
from yapit.accounts.request_credentials import Headers, Scope
from yapit.errors import AuthenticationUnavailable, NotAuthenticated

__all__ = [
    "LOCAL_USERNAME",
    "Identity",
    "changes_seen",
    "find_invalid",
    "forget",
    "identify_key",
    "identify_request",
    "identify_scope",
]

logger = logging.getLogger(__name__)

REMEMBERED_BYTES = 8 * 1024 * 1024  # in each process: some ten thousand identities
REFUSED_SECONDS = 5.0  # how long a key that does not hold is not looked up again
UNAVAILABLE = (OperationalError, InterfaceError, RedisError, InvalidCacheBackendError)


@dataclass(frozen=True, slots=True)
class _Held:
    identity: Identity
    seconds: float  # how long it may be remembered


_known: caching.RowCache[bytes, _Held] = caching.RowCache(
    "identities",
    max_bytes=REMEMBERED_BYTES,
    seconds=settings.IDENTITY_SECONDS,
    lifetime=lambda held: held.seconds,
)
# A cache of its own, for nothing but refusals: whoever tries keys would fill the other.
_refused: caching.RowCache[bytes, authentication.ValidKey | None] = caching.RowCache(
    "refused keys",
    max_bytes=REMEMBERED_BYTES // 2,
    seconds=REFUSED_SECONDS,
    lifetime=lambda found: 0.0 if found else REFUSED_SECONDS,
)
_background: set[asyncio.Task[None]] = set()
_heard = 0


def forget() -> None:
    """Forget everyone, in this process."""
    _count_change()
    _known.flush()
    _refused.flush()


def changes_seen() -> int:
    """How often somebody had to be forgotten: who looked before the last time looks again."""
    return _heard


def _count_change() -> None:
    global _heard
    _heard += 1


_EVENTS = (f"{invalidation.ACCOUNT}*", f"{invalidation.KEY}*", f"{invalidation.SESSION}*")
_known.invalidate_if_on(*_EVENTS, is_stale=lambda event, _, held: held.identity.is_affected_by(event))
_refused.flush_on(*_EVENTS)
caching.subscribe(f"{invalidation.ACCOUNT}*", lambda _: _count_change(), missed=_count_change)
caching.subscribe(f"{invalidation.KEY}*", lambda _: _count_change())
caching.subscribe(f"{invalidation.SESSION}*", lambda _: _count_change())


async def identify_scope(scope: Scope) -> Identity:
    """Who is behind an ASGI connection (http or websocket). A ticket in its address is used up by this.

    Raises NotAuthenticated, OriginRefused, or AuthenticationUnavailable when a database does not answer.
    """
    request_credentials.check_address(scope)
    headers = request_credentials.headers_of(scope)
    token = request_credentials.key_of(scope, headers)
    if token is not None:
        return await _identify_key_cached(token)
    ticket = request_credentials.ticket_of(scope)
    if ticket is not None:
        return await _identify_ticket(ticket, scope, headers)
    _check_page(scope, headers)
    if not settings.MULTI_USER:
        return await _remembered(b"local", authentication.identify_local)
    session_key = request_credentials.session_key_of(headers)
    if session_key is None:
        raise NotAuthenticated(
            "missing_credentials", "Log in, or send an API key: Authorization: Bearer yk_..."
        )
    name = b"session " + _fingerprint(session_key)
    return await _remembered(name, authentication.identify_session, session_key)


async def identify_request(request: HttpRequest) -> Identity:
    """`identify_scope` for a Django request, whichever handler made it."""
    return await identify_scope(getattr(request, "scope", None) or _scope_of(request))


def identify_key(token: str) -> Identity | None:
    """Whose key this is: None unless it holds now. One read, nothing remembered."""
    found = authentication.find_key(token)
    return authentication.identity_of(found) if found else None


async def find_invalid(identities: Collection[Identity]) -> frozenset[Identity]:
    """Those whose key, session or account is no longer valid, read from the database and never from a cache.

    Raises AuthenticationUnavailable.
    """
    found: frozenset[Identity] = await _ask(authentication.find_invalid, identities)
    return found


def _check_page(scope: Scope, headers: Headers) -> None:
    is_socket = scope["type"] == "websocket"
    is_safe = not is_socket and scope["method"] in origins.SAFE_METHODS
    origins.check_host(headers)
    origins.check_origin(headers, scope.get("scheme", "ws" if is_socket else "http"), demanded=not is_safe)
    if not settings.MULTI_USER:
        origins.check_not_cross_site(headers)


def _scope_of(request: HttpRequest) -> Scope:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.items()]
    query = request.META.get("QUERY_STRING", "").encode("latin-1")
    scope = {"type": "http", "method": request.method, "scheme": request.scheme, "headers": headers}
    return scope | {"path": request.path, "query_string": query}


def _fingerprint(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


# --- Tickets --------------------------------------------------------------------------------------------


async def _identify_ticket(ticket: str, scope: Scope, headers: Headers) -> Identity:
    try:
        found = await tickets.redeem(redis_clients.hot(), ticket)
    except RedisError as exc:
        raise AuthenticationUnavailable("This ticket cannot be checked right now. Ask for another.") from exc
    if found is not None and found.via != "key":
        # It grants no more than what it was bought with, and that is used from our own pages only.
        _check_page(scope, headers)
    if found is None or await find_invalid({found}):
        raise NotAuthenticated("invalid_ticket", "This ticket was used or is too old. Ask for another.")
    return found


# --- Remembering ----------------------------------------------------------------------------------------


async def _identify_key_cached(token: str) -> Identity:
    if keys.public_id(token) is None:
        raise _bad_key()
    name = b"key " + _fingerprint(token)
    return (await _known.aget_or_fetch(name, partial(_look_up_key, name, token))).identity


async def _look_up_key(name: bytes, token: str) -> _Held:
    found = await _refused.aget_or_fetch(name, partial(_ask, authentication.find_key, token))
    if found is None:
        raise _bad_key()
    _note_used_later(found)
    return _Held(authentication.identity_of(found), _seconds_left(found.expires_at))


async def _remembered(name: bytes, find: Any, *args: str) -> Identity:
    return (await _known.aget_or_fetch(name, partial(_look_up, find, *args))).identity


async def _look_up(find: Any, *args: str) -> _Held:
    found = await _ask(find, *args)
    if found is None:
        raise NotAuthenticated("not_authenticated", "Nobody is logged in here.")
    return _Held(found, settings.IDENTITY_SECONDS)


async def _ask(find: Any, *args: Any) -> Any:
    try:
        return await offload(find, *args)
    except UNAVAILABLE as exc:
        raise AuthenticationUnavailable("Who you are cannot be checked right now. Try again.") from exc


def _bad_key() -> NotAuthenticated:
    return NotAuthenticated("invalid_api_key", "This API key does not hold: unknown, revoked or expired.")


def _seconds_left(expires_at: datetime | None) -> float:
    return (expires_at - timezone.now()).total_seconds() if expires_at else settings.IDENTITY_SECONDS


# --- Last used ------------------------------------------------------------------------------------------


def _note_used_later(key: authentication.ValidKey) -> None:
    """Beside the request, which does not wait for it."""
    if authentication.is_use_recorded(key):
        return
    task = asyncio.create_task(_note_used(key.id))
    _background.add(task)  # or it could be collected before it ran
    task.add_done_callback(_background.discard)


async def _note_used(key_id: str) -> None:
    try:
        await offload(authentication.note_used, key_id)
    except DatabaseError as exc:
        logger.warning("last use of key %s not noted: %s", key_id, type(exc).__name__)
