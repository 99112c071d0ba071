"""What changed, told to the caches of all processes once it is committed: to be called with each change.

The names of the events are known here only, and to those who subscribe to them.
"""

from functools import partial

from django.db import transaction

from config import caching

CATALOG = "catalog"
ACCOUNT = "account:"  # and its id
KEY = "key:"  # and its public id


def catalog_changed() -> None:
    """A model or a voice, or who may use it."""
    _tell(CATALOG)


def accounts_changed(*user_ids: int) -> None:
    """Whether they may come in, or what they may use."""
    _tell(*(f"{ACCOUNT}{user_id}" for user_id in user_ids))


def keys_changed(*key_ids: str) -> None:
    _tell(*(f"{KEY}{key_id}" for key_id in key_ids))


def _tell(*events: str) -> None:
    transaction.on_commit(partial(caching.publish, *events))
