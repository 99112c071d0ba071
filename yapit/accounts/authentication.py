"""Whether what somebody shows holds: keys, sessions and the local account, as the database knows them now.

Everything here blocks. `yapit.accounts.identity` asks it from a thread, and remembers what it said.
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
NOTE_USED = """
UPDATE yapit_apikey SET last_used = %s WHERE id = %s AND (last_used IS NULL OR last_used < %s)
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """An account that existed and was active when it was looked up, and what it came in with."""

    user_id: int
    username: str
    api_key_id: str | None
    via: Literal["key", "session", "local"]
    session_key: str | None = field(default=None, repr=False)

    def is_affected_by(self, event: str) -> bool:
        """Whether `yapit.invalidation` told something that may end this."""
        if event.startswith(invalidation.SESSION):
            return self.session_key is not None and invalidation.is_about_session(event, self.session_key)
        return event in (f"{invalidation.ACCOUNT}{self.user_id}", f"{invalidation.KEY}{self.api_key_id}")


@dataclass(frozen=True, slots=True)
class ValidKey:
    """One that held when it was looked up."""

    id: str
    user_id: int
    username: str
    expires_at: datetime | None
    last_used: datetime | None
    digest: str = field(repr=False)


def find_key(token: str) -> ValidKey | None:
    """None: it does not hold."""
    key_id = keys.public_id(token)
    rows = fetch_rows(SELECT_VALID_KEY, {"key_id": key_id, "now": timezone.now()}) if key_id else []
    found = ValidKey(*rows[0]) if rows else None
    return found if found and keys.matches(found.digest, token) else None


def identity_of(key: ValidKey) -> Identity:
    return Identity(key.user_id, key.username, key.id, "key")


def identify_session(session_key: str) -> Identity | None:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)  # also checks that the password is still the one it was begun with
    if not user.is_authenticated or user.pk is None:
        return None
    return Identity(user.pk, user.get_username(), None, "session", session_key)


def identify_local() -> Identity | None:
    user = User.objects.filter(username=LOCAL_USERNAME, is_active=True).first()
    return Identity(user.pk, user.get_username(), None, "local") if user else None


def find_invalid(identities: Collection[Identity]) -> frozenset[Identity]:
    """Those that hold no longer. All keys are read at once."""
    asked = {identity.api_key_id for identity in identities if identity.api_key_id}
    held = set(_holding_keys().filter(pk__in=asked).values_list("pk", flat=True)) if asked else set()
    return frozenset(identity for identity in identities if not _holds(identity, held))


def note_used(key_id: str) -> None:
    """At most once in a minute, however many processes see the key."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(NOTE_USED, [now, key_id, now - timedelta(seconds=LAST_USED_SECONDS)])


def is_use_recorded(key: ValidKey) -> bool:
    return key.last_used is not None and timezone.now() - key.last_used < timedelta(seconds=LAST_USED_SECONDS)


def _holding_keys() -> QuerySet[ApiKey]:
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ApiKey.objects.filter(unexpired, revoked_at=None, user__is_active=True)


def _holds(identity: Identity, held_keys: set[str]) -> bool:
    if identity.via == "key":
        return identity.api_key_id in held_keys
    # What there is no log-in for, and what needs one, each belongs to its own mode.
    if (identity.via == "session") != settings.MULTI_USER:
        return False
    found = identify_session(identity.session_key or "") if settings.MULTI_USER else identify_local()
    return found is not None and found.user_id == identity.user_id
