"""Authentication: checks API keys, sessions and the local account against the database.

Every function blocks. `yapit.accounts.identity` calls them in threads and caches the results.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from typing import Literal

from django.conf import settings
from django.contrib.auth import get_user, get_user_model
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from config.database.rows import fetch_rows
from yapit import invalidation
from yapit.accounts import keys
from yapit.models import ApiKey

LOCAL_USERNAME = "local"
LAST_USED_SECONDS = 60.0
User = get_user_model()
# The key with this id, if it is not expired or revoked and its account is active.
SELECT_VALID_KEY = f"""
SELECT k.id, k.user_id, u.{User.USERNAME_FIELD}, k.expires_at, k.last_used, k.digest
FROM {ApiKey._meta.db_table} k JOIN {User._meta.db_table} u ON u.id = k.user_id
WHERE k.id = %(key_id)s AND k.revoked_at IS NULL AND u.is_active
    AND (k.expires_at IS NULL OR k.expires_at > %(now)s)
"""  # noqa: S608  # our own names
# Conditional: of several processes that see the key within a minute, one writes.
UPDATE_LAST_USED = """
UPDATE yapit_apikey SET last_used = %s WHERE id = %s AND (last_used IS NULL OR last_used < %s)
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """An active account and the credential of the connection, as of the look-up."""

    user_id: int
    username: str
    api_key_id: str | None
    via: Literal["key", "session", "local"]
    session_key: str | None = field(default=None, repr=False)

    def is_affected_by(self, event: str) -> bool:
        """Whether an event of `yapit.invalidation` may make this identity invalid."""
        if event.startswith(invalidation.SESSION):
            return self.session_key is not None and invalidation.is_about_session(event, self.session_key)
        return event in (f"{invalidation.ACCOUNT}{self.user_id}", f"{invalidation.KEY}{self.api_key_id}")


@dataclass(frozen=True, slots=True)
class ValidKey:
    """An API key that was valid at the look-up: not expired or revoked, and its account active."""

    id: str
    user_id: int
    username: str
    expires_at: datetime | None
    last_used: datetime | None
    digest: str = field(repr=False)


def find_key(token: str) -> ValidKey | None:
    """The key of a token, or None if the token is not valid."""
    key_id = keys.public_id(token)
    rows = fetch_rows(SELECT_VALID_KEY, {"key_id": key_id, "now": timezone.now()}) if key_id else []
    key = ValidKey(*rows[0]) if rows else None
    return key if key and keys.matches(key.digest, token) else None


def identity_of(key: ValidKey) -> Identity:
    return Identity(key.user_id, key.username, key.id, "key")


def identify_session(session_key: str) -> Identity | None:
    """The account that is logged in with this session, or None."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)  # also checks that the password has not changed since the log-in
    if not user.is_authenticated or user.pk is None:
        return None
    return Identity(user.pk, user.get_username(), None, "session", session_key)


def identify_local() -> Identity | None:
    """The account of single-user mode, or None if it is missing or inactive."""
    user = User.objects.filter(username=LOCAL_USERNAME, is_active=True).first()
    return Identity(user.pk, user.get_username(), None, "local") if user else None


def find_invalid(identities: Collection[Identity]) -> frozenset[Identity]:
    """Those that are no longer valid. One query for all keys, and one or two for each other identity."""
    key_ids = {identity.api_key_id for identity in identities if identity.api_key_id}
    valid = set(_valid_keys().filter(pk__in=key_ids).values_list("pk", flat=True)) if key_ids else set()
    return frozenset(identity for identity in identities if not _is_valid(identity, valid))


def record_use(key_id: str) -> None:
    """Set the time of the key's last use, at most once a minute over all processes."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(UPDATE_LAST_USED, [now, key_id, now - timedelta(seconds=LAST_USED_SECONDS)])


def is_use_recorded(key: ValidKey) -> bool:
    """Whether a use of the key was recorded within LAST_USED_SECONDS."""
    return key.last_used is not None and timezone.now() - key.last_used < timedelta(seconds=LAST_USED_SECONDS)


def _valid_keys() -> QuerySet[ApiKey]:
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ApiKey.objects.filter(unexpired, revoked_at=None, user__is_active=True)


def _is_valid(identity: Identity, valid_key_ids: set[str]) -> bool:
    if identity.via == "key":
        return identity.api_key_id in valid_key_ids
    # Sessions count in multi-user mode only, the local account in single-user mode only.
    if (identity.via == "session") != settings.MULTI_USER:
        return False
    current = identify_session(identity.session_key or "") if settings.MULTI_USER else identify_local()
    return current is not None and current.user_id == identity.user_id
