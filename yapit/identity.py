"""Who is asking: one answer for HTTP and WebSocket connections, for keys, sessions and nobody at all.

A key always decides when there is one. In multi-user mode the session cookie is next. In single-user mode
there are no log-ins to look at: whoever reaches this machine is the account `local` (the administrator's
session belongs to /admin/ and does not change whose documents the reader shows).
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any, Literal

from django.conf import settings
from django.contrib.auth import get_user, get_user_model
from django.core.cache import InvalidCacheBackendError
from django.db import DatabaseError, InterfaceError, OperationalError
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from redis.exceptions import RedisError

from config import caching
from yapit import changes, keys, origins
from yapit.errors import CannotCheck, NotAuthenticated
from yapit.models import ApiKey
from yapit.offload import offload

logger = logging.getLogger(__name__)

LOCAL_USERNAME = "local"
SUBPROTOCOL = "yapit.v1"
KEY_SUBPROTOCOL = "yapit.key."
REMEMBERED_BYTES = 8 * 1024 * 1024  # in each process: some ten thousand identities
REFUSED_SECONDS = 5.0  # how long a key that does not hold is not looked up again
LAST_USED_SECONDS = 60.0
UNAVAILABLE = (OperationalError, InterfaceError, RedisError, InvalidCacheBackendError)

Scope = Mapping[str, Any]
Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Identity:
    """An account that exists and is active, as of at most IDENTITY_SECONDS ago."""

    user_id: int
    username: str
    api_key_id: str | None
    via: Literal["key", "session", "local"]


@dataclass(frozen=True, slots=True)
class _Held:
    identity: Identity
    seconds: float  # how long it may be remembered


_known: caching.MemoryCache[bytes, _Held] = caching.MemoryCache(
    "identities",
    max_bytes=REMEMBERED_BYTES,
    seconds=settings.IDENTITY_SECONDS,
    lifetime=lambda held: held.seconds,
)
# A cache of its own, for nothing but refusals: whoever tries keys would fill the other.
_refused: caching.MemoryCache[bytes, ApiKey | None] = caching.MemoryCache(
    "refused keys",
    max_bytes=REMEMBERED_BYTES // 2,
    seconds=REFUSED_SECONDS,
    lifetime=lambda found: 0.0 if found else REFUSED_SECONDS,
)
_background: set[asyncio.Task[None]] = set()


def forget() -> None:
    """Forget everyone, in this process."""
    _known.flush()
    _refused.flush()


def _forget_account(event: str) -> None:
    user_id = event.removeprefix(changes.ACCOUNT)
    _known.invalidate_if(lambda _, held: str(held.identity.user_id) == user_id)
    _refused.flush()


def _forget_key(event: str) -> None:
    key_id = event.removeprefix(changes.KEY)
    _known.invalidate_if(lambda _, held: held.identity.api_key_id == key_id)
    _refused.flush()


caching.subscribe(f"{changes.ACCOUNT}*", _forget_account, missed=forget)
caching.subscribe(f"{changes.KEY}*", _forget_key)


async def identify_scope(scope: Scope) -> Identity:
    """Who is behind an ASGI connection (http or websocket).

    Raises NotAuthenticated, OriginRefused, or CannotCheck when the database does not answer.
    """
    headers = _headers(scope)
    token = _token(scope, headers)
    if token is not None:
        return await _identify_key_cached(token)
    _check_page(scope, headers)
    if not settings.MULTI_USER:
        return await _remembered(b"local", _identify_local)
    session_key = _session_key(headers)
    if session_key is None:
        raise NotAuthenticated(
            "missing_credentials", "Log in, or send an API key: Authorization: Bearer yk_..."
        )
    return await _remembered(b"session " + _fingerprint(session_key), _identify_session, session_key)


async def identify_request(request: HttpRequest) -> Identity:
    """`identify_scope` for a Django request, whichever handler made it."""
    return await identify_scope(getattr(request, "scope", None) or _scope_of(request))


def identify_key(token: str) -> Identity | None:
    """Whose key this is: None unless it holds now. One read, nothing remembered."""
    found = _find_key(token)
    return _identity_of(found) if found else None


# --- Credentials of a connection ------------------------------------------------------------------------


def _headers(scope: Scope) -> Headers:
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        name = name.lower()
        if name in (b"authorization", b"host", b"origin") and headers.get(name, value) != value:
            raise NotAuthenticated("conflicting_headers", f"There are several {name.decode()} headers.")
        # HTTP/2 splits cookies over several headers.
        headers[name] = headers[name] + b"; " + value if name == b"cookie" and name in headers else value
    return headers


def _token(scope: Scope, headers: Headers) -> str | None:
    """The API key of a connection, well-formed or not; None: there is none."""
    authorization = headers.get(b"authorization", b"").decode("latin-1").strip()
    scheme, _, token = authorization.partition(" ")
    if scheme and scheme.lower() != "basic":  # a password in front of this site is not ours to judge
        return token.strip() if scheme.lower() == "bearer" else authorization
    for offered in scope.get("subprotocols", ()):
        if offered.startswith(KEY_SUBPROTOCOL):
            return str(offered.removeprefix(KEY_SUBPROTOCOL))
    return None


def _check_page(scope: Scope, headers: Headers) -> None:
    is_socket = scope["type"] == "websocket"
    is_safe = not is_socket and scope["method"] in origins.SAFE_METHODS
    origins.check_host(headers)
    origins.check_origin(headers, scope.get("scheme", "ws" if is_socket else "http"), demanded=not is_safe)
    if not settings.MULTI_USER:
        origins.check_not_cross_site(headers)


def _session_key(headers: Headers) -> str | None:
    try:
        cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return None
    morsel = cookies.get(settings.SESSION_COOKIE_NAME)
    return morsel.value or None if morsel else None


def _scope_of(request: HttpRequest) -> Scope:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.items()]
    return {"type": "http", "method": request.method, "scheme": request.scheme, "headers": headers}


def _fingerprint(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


# --- Remembering ----------------------------------------------------------------------------------------


async def _identify_key_cached(token: str) -> Identity:
    if keys.public_id(token) is None:
        raise _bad_key()
    name = b"key " + _fingerprint(token)
    return (await _known.aget_or_fetch(name, partial(_look_up_key, name, token))).identity


async def _look_up_key(name: bytes, token: str) -> _Held:
    found = await _refused.aget_or_fetch(name, partial(_ask, _find_key, token))
    if found is None:
        raise _bad_key()
    _note_used_later(found)
    return _Held(_identity_of(found), _seconds_left(found.expires_at))


async def _remembered(name: bytes, find: Any, *args: str) -> Identity:
    return (await _known.aget_or_fetch(name, partial(_look_up, find, *args))).identity


async def _look_up(find: Any, *args: str) -> _Held:
    found = await _ask(find, *args)
    if found is None:
        raise NotAuthenticated("not_authenticated", "Nobody is logged in here.")
    return _Held(found, settings.IDENTITY_SECONDS)


async def _ask(find: Any, *args: str) -> Any:
    try:
        return await offload(find, *args)
    except UNAVAILABLE as exc:
        raise CannotCheck("Who you are cannot be checked right now. Try again.") from exc


def _bad_key() -> NotAuthenticated:
    return NotAuthenticated("invalid_api_key", "This API key does not hold: unknown, revoked or expired.")


def _seconds_left(expires_at: datetime | None) -> float:
    return (expires_at - timezone.now()).total_seconds() if expires_at else settings.IDENTITY_SECONDS


# --- Reading; in a thread -------------------------------------------------------------------------------


def _find_key(token: str) -> ApiKey | None:
    key_id = keys.public_id(token)
    if key_id is None:
        return None
    holding = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
    key = ApiKey.objects.filter(holding, pk=key_id, user__is_active=True).select_related("user").first()
    return key if key and keys.matches(key, token) else None


def _identity_of(key: ApiKey) -> Identity:
    return Identity(key.user_id, key.user.get_username(), key.pk, "key")


def _identify_session(session_key: str) -> Identity | None:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)  # also checks that the password is still the one it was begun with
    if not user.is_authenticated or user.pk is None:
        return None
    return Identity(user.pk, user.get_username(), None, "session")


def _identify_local() -> Identity | None:
    user = get_user_model().objects.filter(username=LOCAL_USERNAME, is_active=True).first()
    return Identity(user.pk, user.get_username(), None, "local") if user else None


# --- Last used ------------------------------------------------------------------------------------------


def _note_used_later(key: ApiKey) -> None:
    """Beside the request, which does not wait for it."""
    if key.last_used and timezone.now() - key.last_used < timedelta(seconds=LAST_USED_SECONDS):
        return
    task = asyncio.create_task(_note_used(key.pk))
    _background.add(task)  # or it could be collected before it ran
    task.add_done_callback(_background.discard)


async def _note_used(key_id: str) -> None:
    try:
        await offload(_write_last_used, key_id)
    except DatabaseError as exc:
        logger.warning("last use of key %s not noted: %s", key_id, type(exc).__name__)


def _write_last_used(key_id: str) -> None:
    now = timezone.now()
    stale = Q(last_used=None) | Q(last_used__lt=now - timedelta(seconds=LAST_USED_SECONDS))
    ApiKey.objects.filter(stale, pk=key_id).update(last_used=now)
