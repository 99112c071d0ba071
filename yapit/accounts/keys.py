"""API keys: creation, look-up, renaming and revocation. Only this module knows the format of a token."""

import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from yapit.errors import KeyNameRefused, KeyNotFound, TooManyKeys
from yapit.invalidation import keys_changed, own_keys_changed
from yapit.models import ApiKey

KEY_ID = re.compile(r"[0-9a-z]{8,16}")
TOKEN = re.compile(r"yk_([0-9a-z]{8,16})_[0-9a-f]{48}")
LONGEST_NAME = 100
REVOKED_KEPT = 20  # revoked keys that an account keeps as its history
# Unicode categories: control characters, surrogates, line and paragraph separators.
FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key and its token. The token is not stored and cannot be shown again."""

    key: ApiKey
    token: str


def digest(token: str) -> str:
    """The HMAC-SHA256 of a token under the server's pepper, as stored."""
    if not settings.API_KEY_PEPPER:
        raise ImproperlyConfigured("API keys need SECRET_KEY or API_KEY_PEPPER to be set.")
    return hmac.new(settings.API_KEY_PEPPER.encode(), token.encode(), hashlib.sha256).hexdigest()


def public_id(token: str) -> str | None:
    """The key id inside a token, or None if the token is malformed."""
    match = TOKEN.fullmatch(token)
    return match[1] if match else None


def matches(stored_digest: str, token: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(stored_digest, digest(token))


def create_key(user: AbstractBaseUser, name: str, *, expires_at: datetime | None = None) -> NewKey:
    """Create a key without checking its name or the number of keys; see `add_key`."""
    key_id = secrets.token_hex(6)
    token = f"yk_{key_id}_{secrets.token_hex(24)}"
    key = ApiKey.objects.create(
        id=key_id, user_id=user.pk, name=name, digest=digest(token), expires_at=expires_at
    )
    own_keys_changed(user.pk)
    return NewKey(key, token)


def keys_of(user_id: int) -> QuerySet[ApiKey]:
    """Keys that are not revoked, including expired ones."""
    return ApiKey.objects.filter(user_id=user_id, revoked_at=None)


@transaction.atomic
def add_key(user_id: int, name: str, *, expires_at: datetime | None = None) -> NewKey:
    """Create a key unless the account has KEYS_PER_ACCOUNT. Raises TooManyKeys or KeyNameRefused.

    One transaction, which also deletes the account's oldest revoked keys.
    """
    cleaned = clean_name(name)
    # The account's row is the lock: otherwise two concurrent calls would not count each other's key.
    user = get_user_model().objects.select_for_update(no_key=True).get(pk=user_id)
    if keys_of(user_id).count() >= settings.KEYS_PER_ACCOUNT:
        raise TooManyKeys(settings.KEYS_PER_ACCOUNT)
    revoked = ApiKey.objects.filter(user_id=user_id).exclude(revoked_at=None).order_by("-revoked_at")
    ApiKey.objects.filter(pk__in=list(revoked.values_list("pk", flat=True)[REVOKED_KEPT:])).delete()
    return create_key(user, cleaned, expires_at=expires_at)


def rename(user_id: int, key_id: str, name: str) -> ApiKey:
    """Raises KeyNotFound for a key that is revoked or belongs to another account, KeyNameRefused."""
    _check_id(key_id)
    if not keys_of(user_id).filter(pk=key_id).update(name=clean_name(name)):
        raise KeyNotFound("There is no such key.")
    own_keys_changed(user_id)
    return ApiKey.objects.get(pk=key_id)


def revoke_own(user_id: int, key_id: str) -> None:
    """Revoke a key of this account. Repeatable. Raises KeyNotFound, also for keys of other accounts."""
    _check_id(key_id)
    key = ApiKey.objects.filter(user_id=user_id, pk=key_id).first()
    if key is None:
        raise KeyNotFound("There is no such key.")
    revoke(key)


def _check_id(key_id: str) -> None:
    """Refuse malformed ids without a query: PostgreSQL raises an error for a NUL character."""
    if not KEY_ID.fullmatch(key_id):
        raise KeyNotFound("There is no such key.")


def clean_name(name: str) -> str:
    """The name without surrounding spaces. Raises KeyNameRefused if it cannot be displayed in one line."""
    cleaned = name.strip()
    if not cleaned or len(cleaned) > LONGEST_NAME:
        raise KeyNameRefused(f"A name has 1 to {LONGEST_NAME} characters.")
    if not all(map(_is_displayable, cleaned)):
        raise KeyNameRefused("A name has no control characters and no line ends.")
    return cleaned


def _is_displayable(character: str) -> bool:
    return unicodedata.category(character) not in FORBIDDEN_CATEGORIES and character not in BIDI_CONTROLS


def revoke(key: ApiKey) -> None:
    """Takes effect in all processes at once, or within IDENTITY_SECONDS if the event is lost.

    Repeatable: the time of the first revocation is kept.
    """
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    keys_changed(key.pk)
    own_keys_changed(key.user_id)
