"""Roles of accounts (tester, reviewer): cached look-up, and the functions that change them."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from config import caching
from config.database.rows import fetch_rows
from yapit import invalidation
from yapit.models import Profile

CACHED_SECONDS = 30.0
CACHED_BYTES = 4 * 1024 * 1024
# The roles of one account; no row: none.
SELECT_ROLES = f"""
SELECT is_tester, is_reviewer FROM {Profile._meta.db_table} WHERE user_id = %(user_id)s
"""  # noqa: S608  # our own names


@dataclass(frozen=True, slots=True)
class Roles:
    is_tester: bool
    is_reviewer: bool


NO_ROLES = Roles(is_tester=False, is_reviewer=False)
_roles: caching.RowCache[int, Roles] = caching.RowCache(
    "roles", max_bytes=CACHED_BYTES, seconds=CACHED_SECONDS
)
_roles.invalidate_on(
    f"{invalidation.ACCOUNT}*", f"{invalidation.ACCESS}*", keys=lambda event: [invalidation.account_of(event)]
)
_roles.flush_on(invalidation.CATALOG)


def of(user_id: int) -> Roles:
    """Blocks unless the roles are cached."""
    return _roles.read(user_id, _read)


async def aof(user_id: int) -> Roles:
    return await _roles.aread(user_id, _read)


def cached(user_id: int) -> Roles | None:
    """The roles if they are cached, otherwise None."""
    return _roles.peek(user_id)


def forget() -> None:
    """Clear the cache of this process."""
    _roles.flush()


def add_testers(user_ids: Iterable[int]) -> None:
    _set_testers(list(user_ids), is_tester=True)


def remove_testers(user_ids: Iterable[int]) -> None:
    """Voices shared with the accounts stay shared, and become usable again with the role."""
    _set_testers(list(user_ids), is_tester=False)


@transaction.atomic
def _set_testers(user_ids: list[int], *, is_tester: bool) -> None:
    Profile.objects.bulk_create(
        [Profile(user_id=user_id, is_tester=is_tester) for user_id in sorted(user_ids)],
        update_conflicts=True,
        unique_fields=["user"],
        update_fields=["is_tester"],
    )
    invalidation.access_changed(*user_ids)


def _read(user_id: int) -> Roles:
    rows = fetch_rows(SELECT_ROLES, {"user_id": user_id})
    return Roles(*rows[0]) if rows else NO_ROLES
