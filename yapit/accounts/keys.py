"""API keys: making, reading and revoking them. What a token looks like is known here only."""

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
from yapit.invalidation import keys_changed
from yapit.models import ApiKey

KEY_ID = re.compile(r"[0-9a-z]{8,16}")
TOKEN = re.compile(r"yk_([0-9a-z]{8,16})_[0-9a-f]{48}")
LONGEST_NAME = 100
REVOKED_KEPT = 20  # of one account, to look back at
# Control characters, line and paragraph ends, halves of a character; and what turns the text around it.
UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key and its token, which exists nowhere else: show it once."""

    key: ApiKey
    token: str


def digest(token: str) -> str:
    """What the database keeps of a token: useless without the server's pepper."""
    if not settings.API_KEY_PEPPER:
        raise ImproperlyConfigured("API keys need SECRET_KEY or API_KEY_PEPPER to be set.")
    return hmac.new(settings.API_KEY_PEPPER.encode(), token.encode(), hashlib.sha256).hexdigest()


def public_id(token: str) -> str | None:
    """The id inside a token; None when it cannot be one of ours."""
    found = TOKEN.fullmatch(token)
    return found[1] if found else None


def matches(kept: str, token: str) -> bool:
    return hmac.compare_digest(kept, digest(token))


def create_key(user: AbstractBaseUser, name: str, *, expires_at: datetime | None = None) -> NewKey:
    key_id = secrets.token_hex(6)
    token = f"yk_{key_id}_{secrets.token_hex(24)}"
    key = ApiKey.objects.create(
        id=key_id, user_id=user.pk, name=name, digest=digest(token), expires_at=expires_at
    )
    return NewKey(key, token)


def keys_of(user_id: int) -> QuerySet[ApiKey]:
    """Those that are not revoked; one that has expired stays in the list until it is."""
    return ApiKey.objects.filter(user_id=user_id, revoked_at=None)


@transaction.atomic
def add_key(user_id: int, name: str, *, expires_at: datetime | None = None) -> NewKey:
    """One more, up to KEYS_PER_ACCOUNT. Raises TooManyKeys or KeyNameRefused."""
    fit = fit_name(name)
    # The account's row is the lock: two at once would each count the other out.
    user = get_user_model().objects.select_for_update(no_key=True).get(pk=user_id)
    if keys_of(user_id).count() >= settings.KEYS_PER_ACCOUNT:
        raise TooManyKeys(settings.KEYS_PER_ACCOUNT)
    revoked = ApiKey.objects.filter(user_id=user_id).exclude(revoked_at=None).order_by("-revoked_at")
    ApiKey.objects.filter(pk__in=list(revoked.values_list("pk", flat=True)[REVOKED_KEPT:])).delete()
    return create_key(user, fit, expires_at=expires_at)


def rename(user_id: int, key_id: str, name: str) -> ApiKey:
    _check_id(key_id)
    if not keys_of(user_id).filter(pk=key_id).update(name=fit_name(name)):
        raise KeyNotFound("There is no such key.")
    return ApiKey.objects.get(pk=key_id)


def revoke_own(user_id: int, key_id: str) -> None:
    """Repeatable, like `revoke`. Raises KeyNotFound, for those of others too."""
    _check_id(key_id)
    key = ApiKey.objects.filter(user_id=user_id, pk=key_id).first()
    if key is None:
        raise KeyNotFound("There is no such key.")
    revoke(key)


def _check_id(key_id: str) -> None:
    """What no key is called is not looked up: PostgreSQL takes no NUL, for one."""
    if not KEY_ID.fullmatch(key_id):
        raise KeyNotFound("There is no such key.")


def fit_name(name: str) -> str:
    """As it is kept. Raises KeyNameRefused for what cannot be shown in one line as it is."""
    fit = name.strip()
    if not fit or len(fit) > LONGEST_NAME:
        raise KeyNameRefused(f"A name has 1 to {LONGEST_NAME} characters.")
    if any(unicodedata.category(character) in UNFIT or character in TURNING for character in fit):
        raise KeyNameRefused("A name has no control characters and no line ends.")
    return fit


def revoke(key: ApiKey) -> None:
    """Takes effect everywhere at once, or within IDENTITY_SECONDS. Repeatable: the first time stands."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    keys_changed(key.pk)
