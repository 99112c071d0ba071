"""Invalidation events: published to the caches of all processes when a change is committed.

Code that changes rows calls the function for them within the transaction. Subscribers use the constants.
"""

import hashlib
from functools import partial
from uuid import UUID

from django.db import transaction

from config import caching

CATALOG = "catalog:all"
ACCOUNT = "account:"  # followed by its id
ACCESS = "access:"  # followed by the account's id
PREFERENCES = "preferences:"  # followed by the account's id
KEY = "key:"  # followed by its public id
KEYS = "keys:"  # followed by the account's id: one of its keys was made, changed or revoked
SESSION = "session:"  # followed by the hash of its key
RENEWED = ":renewed"  # suffix of a session's event: the session continues under another key
DOCUMENT = "document:"  # followed by its id
CREDIT = "credit:"  # followed by the account's id; published with an epoch, by `billing.plans.balances`
SPENT = "spent:"  # followed by the account's id: a charge; told to groups only
LEADERBOARD = "leaderboard:all"


def subject_of(event: str) -> str:
    """The id in an event: `42` of `account:42`."""
    return event.partition(":")[2]


def account_of(event: str) -> int:
    """The account's id in an event of an account."""
    return int(subject_of(event))


def catalog_changed() -> None:
    """A model or voice changed, or the access to one."""
    _publish_with_epochs(CATALOG)


def accounts_changed(*user_ids: int) -> None:
    """Activation, password, deletion or roles of accounts. Their open sockets are authenticated again."""
    _publish_with_epochs(*(f"{ACCOUNT}{user_id}" for user_id in user_ids))


def access_changed(*user_ids: int) -> None:
    """The voices that accounts may use. Open sockets stay open."""
    _publish_with_epochs(*(f"{ACCESS}{user_id}" for user_id in user_ids))


def preferences_changed(user_id: int) -> None:
    _publish_with_epochs(f"{PREFERENCES}{user_id}")


def documents_changed(*document_ids: UUID, is_public: bool = True) -> None:
    """Access, title or deletion of documents. Their text never changes.

    `is_public`: a public list may contain one of them, now or before the change.
    """
    _publish_with_epochs(
        *(f"{DOCUMENT}{document_id}" for document_id in document_ids), *([LEADERBOARD] * is_public)
    )


def leaderboard_changed() -> None:
    _publish_with_epochs(LEADERBOARD)


def keys_changed(*key_ids: str) -> None:
    _publish(*(f"{KEY}{key_id}" for key_id in key_ids))


def own_keys_changed(user_id: int) -> None:
    """The list of the account's keys. `keys_changed` tells what depends on one of them."""
    _announce_to_groups(f"{KEYS}{user_id}")


def charged(*user_ids: int) -> None:
    """Balances of accounts were drawn on. Credit in memory stays valid: charges were reserved before."""
    _announce_to_groups(*(f"{SPENT}{user_id}" for user_id in user_ids))


def session_ended(session_key: str) -> None:
    _publish(_session(session_key))


def session_renewed(session_key: str) -> None:
    _publish(_session(session_key) + RENEWED)


def is_about_session(event: str, session_key: str) -> bool:
    """Whether the session of this key has ended or was renewed."""
    return event.removesuffix(RENEWED) == _session(session_key)


def _session(session_key: str) -> str:
    return SESSION + hashlib.sha256(session_key.encode()).hexdigest()


def _publish_with_epochs(*events: str) -> None:
    """For changes that affect responses, which are cached in Redis too, or that open connections follow."""
    transaction.on_commit(partial(caching.announce, *events))


def _announce_to_groups(*events: str) -> None:
    transaction.on_commit(partial(caching.announce_to_groups, *events))


def _publish(*events: str) -> None:
    transaction.on_commit(partial(caching.publish, *events))
