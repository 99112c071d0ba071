"""Preferences of accounts: cached look-up, and the only function that changes them."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import transaction

from config import caching
from config.database.rows import fetch_rows
from yapit import invalidation
from yapit.models import Preferences

CACHED_SECONDS = 30.0
CACHED_BYTES = 4 * 1024 * 1024
COLUMNS = ("pinned_voices", "default_voice", "default_speed", "usage_threshold")
# The preferences of one account, in the order of COLUMNS; no row: the defaults.
SELECT_PREFERENCES = f"""
SELECT {", ".join(COLUMNS)} FROM {Preferences._meta.db_table} WHERE user_id = %(user_id)s
"""  # noqa: S608  # our own names


@dataclass(frozen=True, slots=True)
class AccountPreferences:
    """An immutable copy of a row."""

    pinned_voices: tuple[str, ...]
    default_voice: str
    default_speed: float
    usage_threshold: int | None


_preferences: caching.RowCache[int, AccountPreferences] = caching.RowCache(
    "preferences", max_bytes=CACHED_BYTES, seconds=CACHED_SECONDS
)
_preferences.invalidate_on(
    f"{invalidation.PREFERENCES}*",
    f"{invalidation.ACCOUNT}*",
    keys=lambda event: [invalidation.account_of(event)],
)


def of(user_id: int) -> AccountPreferences:
    return _preferences.read(user_id, _read)


async def aof(user_id: int) -> AccountPreferences:
    return await _preferences.aread(user_id, _read)


def forget() -> None:
    """Clear the cache of this process."""
    _preferences.flush()


@transaction.atomic
def change(user_id: int, fields: dict[str, Any]) -> AccountPreferences:
    """Set the given fields, in one transaction."""
    row, _ = Preferences.objects.update_or_create(user_id=user_id, defaults=fields)
    invalidation.preferences_changed(user_id)
    # This process must not serve the old values until the event arrives.
    transaction.on_commit(partial(_preferences.invalidate, user_id))
    return _of_row([getattr(row, column) for column in COLUMNS])


def _read(user_id: int) -> AccountPreferences:
    rows = fetch_rows(SELECT_PREFERENCES, {"user_id": user_id})
    if rows:
        pinned, *others = rows[0]
        return _of_row([json.loads(pinned), *others])
    defaults = Preferences(user_id=user_id)
    return _of_row([getattr(defaults, column) for column in COLUMNS])


def _of_row(row: Any) -> AccountPreferences:
    pinned, *others = row
    return AccountPreferences(tuple(pinned), *others)
