"""API keys: making, reading and revoking them. What a token looks like is known here only."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from yapit.changes import keys_changed
from yapit.models import ApiKey

TOKEN = re.compile(r"yk_([0-9a-z]{8,16})_[0-9a-f]{48}")


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


def matches(key: ApiKey, token: str) -> bool:
    return hmac.compare_digest(key.digest, digest(token))


def create_key(user: AbstractBaseUser, name: str, *, expires_at: datetime | None = None) -> NewKey:
    key_id = secrets.token_hex(6)
    token = f"yk_{key_id}_{secrets.token_hex(24)}"
    key = ApiKey.objects.create(
        id=key_id, user_id=user.pk, name=name, digest=digest(token), expires_at=expires_at
    )
    return NewKey(key, token)


def revoke(key: ApiKey) -> None:
    """Takes effect everywhere at once, or within IDENTITY_SECONDS. Repeatable: the first time stands."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    keys_changed(key.pk)
