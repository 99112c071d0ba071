"""What changed, told to the caches of all processes once it is committed: to be called with each change.

The names of the events are known here only, and to those who subscribe to them.
"""

import hashlib
from functools import partial
from uuid import UUID

from django.db import transaction

from config import caching

CATALOG = "catalog:all"
ACCOUNT = "account:"  # and its id
ACCESS = "access:"  # and the account's id
PREFERENCES = "preferences:"  # and the account's id
KEY = "key:"  # and its public id
SESSION = "session:"  # and the hash of its key
RENEWED = ":renewed"  # at the end of a session's event: it goes on under another key
DOCUMENT = "document:"  # and its id
CREDIT = "credit:"  # and the account's id; raised with an epoch, by `config.caching.bump`
LEADERBOARD = "leaderboard:all"


def subject_of(event: str) -> str:
    """The id in an event: `42` of `account:42`."""
    return event.partition(":")[2]


def account_of(event: str) -> int:
    """The account's id in an event of an account."""
    return int(subject_of(event))


def catalog_changed() -> None:
    """A model or a voice, or who may use it."""
    _announce(CATALOG)


def accounts_changed(*user_ids: int) -> None:
    """Whether they may come in, or what they may use."""
    _tell(*(f"{ACCOUNT}{user_id}" for user_id in user_ids))


def access_changed(*user_ids: int) -> None:
    """Which voices they may use. Nobody is sent away for it."""
    _tell(*(f"{ACCESS}{user_id}" for user_id in user_ids))


def preferences_changed(user_id: int) -> None:
    _tell(f"{PREFERENCES}{user_id}")


def documents_changed(*document_ids: UUID, is_public: bool = True) -> None:
    """Who may read them, what they are called, or whether they are there. What they say never changes.

    `is_public`: one of them is, or was; others are on no list.
    """
    _announce(*(f"{DOCUMENT}{document_id}" for document_id in document_ids), *([LEADERBOARD] * is_public))


def leaderboard_changed() -> None:
    _announce(LEADERBOARD)


def keys_changed(*key_ids: str) -> None:
    _tell(*(f"{KEY}{key_id}" for key_id in key_ids))


def session_ended(session_key: str) -> None:
    _tell(_session(session_key))


def session_renewed(session_key: str) -> None:
    _tell(_session(session_key) + RENEWED)


def is_about_session(event: str, session_key: str) -> bool:
    return event.removesuffix(RENEWED) == _session(session_key)


def _session(session_key: str) -> str:
    return SESSION + hashlib.sha256(session_key.encode()).hexdigest()


def _announce(*events: str) -> None:
    """What responses were built of, which are kept in Redis as well."""
    transaction.on_commit(partial(caching.announce, *events))


def _tell(*events: str) -> None:
    transaction.on_commit(partial(caching.publish, *events))
