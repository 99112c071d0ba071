"""What an account may do beyond listening, kept in memory; and the only functions that change it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from django.db import transaction

from config import caching
from config.database.offload import offload
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


NOBODY = Roles(is_tester=False, is_reviewer=False)
_roles: caching.MemoryCache[int, Roles] = caching.MemoryCache(
    "roles", max_bytes=CACHED_BYTES, seconds=CACHED_SECONDS
)


def of(user_id: int) -> Roles:
    return _roles.get_or_fetch(user_id, partial(_read, user_id))


async def aof(user_id: int) -> Roles:
    return await _roles.aget_or_fetch(user_id, partial(offload, _read, user_id))


def remembered(user_id: int) -> Roles | None:
    return _roles.get(user_id, None)


def forget() -> None:
    """Forget everyone's, in this process."""
    _roles.flush()


def _forget_of_account(event: str) -> None:
    _roles.invalidate(int(event.partition(":")[2]))


caching.subscribe(f"{invalidation.ACCOUNT}*", _forget_of_account, missed=forget)
caching.subscribe(f"{invalidation.ACCESS}*", _forget_of_account)


def add_testers(user_ids: Iterable[int]) -> None:
    _set_testers(list(user_ids), is_tester=True)


def remove_testers(user_ids: Iterable[int]) -> None:
    """What is shared with them stays so, and comes back with the role."""
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
    return Roles(*rows[0]) if rows else NOBODY
