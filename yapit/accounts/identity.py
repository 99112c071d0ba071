"""Identity of a request: the account behind an HTTP or WebSocket connection, cached for seconds.

Credentials are tried in this order: API key, ticket and, in multi-user mode, the session cookie. In
single-user mode every connection without a key or ticket belongs to the account `local`; the administrator's
session counts for /admin/ only.
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
    "key_uses_recorded",
]

logger = logging.getLogger(__name__)

CACHED_BYTES = 8 * 1024 * 1024  # per process: about ten thousand identities
INVALID_KEY_SECONDS = 5.0  # how long an invalid key is refused without a query
UNAVAILABLE = (OperationalError, InterfaceError, RedisError, InvalidCacheBackendError)


@dataclass(frozen=True, slots=True)
class _CachedIdentity:
    identity: Identity
    seconds: float  # how long it may be cached


_identities: caching.RowCache[bytes, _CachedIdentity] = caching.RowCache(
    "identities",
    max_bytes=CACHED_BYTES,
    seconds=settings.IDENTITY_SECONDS,
    lifetime=lambda cached: cached.seconds,
)
# Separate, so that a client that tries many keys evicts no identities. Holds invalid keys only.
_invalid_keys: caching.RowCache[bytes, authentication.ValidKey | None] = caching.RowCache(
    "refused keys",
    max_bytes=CACHED_BYTES // 2,
    seconds=INVALID_KEY_SECONDS,
    lifetime=lambda key: 0.0 if key else INVALID_KEY_SECONDS,
)
_key_uses: set[asyncio.Task[None]] = set()
_changes_seen = 0


def forget() -> None:
    """Clear the caches of this process."""
    _count_change()
    _identities.flush()
    _invalid_keys.flush()


def changes_seen() -> int:
    """Number of invalidations so far. If it has grown, an identity obtained before may be out of date."""
    return _changes_seen


async def key_uses_recorded() -> None:
    """Wait until the last use of every key seen so far is recorded."""
    await asyncio.gather(*_key_uses)


def _count_change() -> None:
    global _changes_seen
    _changes_seen += 1


_EVENTS = (f"{invalidation.ACCOUNT}*", f"{invalidation.KEY}*", f"{invalidation.SESSION}*")
_identities.invalidate_if_on(
    *_EVENTS, is_stale=lambda event, _, cached: cached.identity.is_affected_by(event)
)
_invalid_keys.flush_on(*_EVENTS)
caching.subscribe(f"{invalidation.ACCOUNT}*", lambda _: _count_change(), missed=_count_change)
caching.subscribe(f"{invalidation.KEY}*", lambda _: _count_change())
caching.subscribe(f"{invalidation.SESSION}*", lambda _: _count_change())


async def identify_scope(scope: Scope) -> Identity:
    """The account behind an ASGI connection (http or websocket). Consumes the ticket in its address, if any.

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
        return await _identify_cached(b"local", authentication.identify_local)
    session_key = request_credentials.session_key_of(headers)
    if session_key is None:
        raise NotAuthenticated(
            "missing_credentials", "Log in, or send an API key: Authorization: Bearer yk_..."
        )
    name = b"session " + _fingerprint(session_key)
    return await _identify_cached(name, authentication.identify_session, session_key)


async def identify_request(request: HttpRequest) -> Identity:
    """`identify_scope` for a Django request, from any handler."""
    return await identify_scope(getattr(request, "scope", None) or _scope_of(request))


def identify_key(token: str) -> Identity | None:
    """The owner of an API key, or None if the key is not valid. One query, never cached."""
    key = authentication.find_key(token)
    return authentication.identity_of(key) if key else None


async def find_invalid(identities: Collection[Identity]) -> frozenset[Identity]:
    """Those whose key, session or account is no longer valid. Queries the database, never a cache.

    Raises AuthenticationUnavailable.
    """
    invalid: frozenset[Identity] = await _query(authentication.find_invalid, identities)
    return invalid


def _check_page(scope: Scope, headers: Headers) -> None:
    is_socket = scope["type"] == "websocket"
    is_safe = not is_socket and scope["method"] in origins.SAFE_METHODS
    origins.check_host(headers)
    origins.check_origin(headers, scope.get("scheme", "ws" if is_socket else "http"), required=not is_safe)
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
        identity = await tickets.redeem(redis_clients.hot(), ticket)
    except RedisError as exc:
        raise AuthenticationUnavailable("This ticket cannot be checked right now. Ask for another.") from exc
    if identity is not None and identity.via != "key":
        # A ticket is restricted like the credential it was issued for: sessions work from our own pages only.
        _check_page(scope, headers)
    if identity is None or await find_invalid({identity}):
        raise NotAuthenticated("invalid_ticket", "This ticket was used or is too old. Ask for another.")
    return identity


# --- Cached look-ups ------------------------------------------------------------------------------------


async def _identify_key_cached(token: str) -> Identity:
    if keys.public_id(token) is None:
        raise _bad_key()
    name = b"key " + _fingerprint(token)
    return (await _identities.aget_or_fetch(name, partial(_look_up_key, name, token))).identity


async def _look_up_key(name: bytes, token: str) -> _CachedIdentity:
    key = await _invalid_keys.aget_or_fetch(name, partial(_query, authentication.find_key, token))
    if key is None:
        raise _bad_key()
    _record_use_later(key)
    return _CachedIdentity(authentication.identity_of(key), _seconds_left(key.expires_at))


async def _identify_cached(name: bytes, identify: Any, *args: str) -> Identity:
    return (await _identities.aget_or_fetch(name, partial(_look_up, identify, *args))).identity


async def _look_up(identify: Any, *args: str) -> _CachedIdentity:
    identity = await _query(identify, *args)
    if identity is None:
        raise NotAuthenticated("not_authenticated", "Nobody is logged in here.")
    return _CachedIdentity(identity, settings.IDENTITY_SECONDS)


async def _query(query: Any, *args: Any) -> Any:
    try:
        return await offload(query, *args)
    except UNAVAILABLE as exc:
        raise AuthenticationUnavailable("Who you are cannot be checked right now. Try again.") from exc


def _bad_key() -> NotAuthenticated:
    return NotAuthenticated("invalid_api_key", "This API key does not hold: unknown, revoked or expired.")


def _seconds_left(expires_at: datetime | None) -> float:
    return (expires_at - timezone.now()).total_seconds() if expires_at else settings.IDENTITY_SECONDS


# --- Last used ------------------------------------------------------------------------------------------


def _record_use_later(key: authentication.ValidKey) -> None:
    """In a task, so that the request does not wait for the write."""
    if authentication.is_use_recorded(key):
        return
    task = asyncio.create_task(_record_use(key.id))
    _key_uses.add(task)  # without a reference it could be garbage-collected
    task.add_done_callback(_key_uses.discard)


async def _record_use(key_id: str) -> None:
    try:
        await offload(authentication.record_use, key_id)
    except DatabaseError as exc:
        logger.warning("last use of key %s not recorded: %s", key_id, type(exc).__name__)
