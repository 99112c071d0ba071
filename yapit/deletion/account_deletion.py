"""The end of an account: everything that is somebody's goes, and what it has cost stays, as nobody's.

The account's row is kept under a name that says nothing, since the ledger and the subscription go by its
number: what is still on its way to be charged is booked there as ever. Nothing leads from that number back
to a person.
"""

import secrets

from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import CharField, Model, Q, QuerySet
from django.db.models.functions import Cast

from billing.plans import balances
from yapit import invalidation
from yapit.accounts.authentication import LOCAL_USERNAME
from yapit.errors import AccountProtected
from yapit.models import ApiKey, Block, Document, Playback, Preferences, Profile, Section, Voice

DELETED = "deleted-"


def delete_account(user_id: int) -> None:
    """All or nothing, in one transaction. Repeatable. Raises AccountProtected for one that the server needs.

    Its keys and sessions hold no longer once this is committed, and its open sockets are told.
    """
    with transaction.atomic():
        _allow_time()
        user = _lock(user_id)
        if user is None:
            return
        _forget_in_the_log(user_id)
        _tell(user_id)
        _delete_belongings(user_id)
        balances.close(user_id)
        _make_nobody(user)


def check_deletable(user: User) -> None:
    if user.username == LOCAL_USERNAME:
        raise AccountProtected(
            "local_account", "This is the one account of a server without log-in: it stays."
        )


def _allow_time() -> None:
    with connection.cursor() as cursor:
        # The settings' limits are for requests that come often; a large library takes longer.
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        cursor.execute("SET LOCAL statement_timeout = '120s'")


def _lock(user_id: int) -> User | None:
    """With all operators: two who go at once must not leave a server without any."""
    operators = Q(is_superuser=True, is_active=True)
    rows = list(User.objects.select_for_update().filter(operators | Q(pk=user_id)).order_by("pk"))
    user = next((row for row in rows if row.pk == user_id), None)
    if user is None:
        return None
    check_deletable(user)
    if user.is_superuser and user.is_active and not any(row.is_superuser for row in rows if row is not user):
        raise AccountProtected("last_operator", "This is the last account that can run this server.")
    return user


def _tell(user_id: int) -> None:
    """Once all is committed."""
    invalidation.accounts_changed(user_id)
    documents = dict(Document.objects.filter(owner=user_id).values_list("pk", "is_public"))
    invalidation.documents_changed(*documents, is_public=any(documents.values()))
    if Voice.objects.filter(owner=user_id).exists():
        invalidation.catalog_changed()


def _delete_belongings(user_id: int) -> None:
    documents = Document.objects.filter(owner=user_id)
    Playback.objects.filter(Q(user=user_id) | Q(document__in=documents)).delete()
    for part in (Block, Section):
        part.objects.filter(document__in=documents).delete()
    documents.only("pk").delete()
    Voice.objects.filter(owner=user_id).delete()
    Voice.testers.through.objects.filter(user=user_id).delete()
    for kind in (ApiKey, Preferences, Profile):
        kind._default_manager.filter(user=user_id).delete()


def _make_nobody(user: User) -> None:
    user.username = DELETED + secrets.token_hex(8)
    user.first_name = user.last_name = user.email = ""
    user.password = make_password(None)  # which ends every session, too
    user.is_active = user.is_staff = user.is_superuser = False
    user.last_login = None
    user.save()
    user.groups.clear()
    user.user_permissions.clear()


def _forget_in_the_log(user_id: int) -> None:
    """What operators did to the account and its things stays written down; the names in it do not."""
    owned: list[QuerySet[Model]] = [
        User._default_manager.filter(pk=user_id),
        *(kind._default_manager.filter(user=user_id) for kind in (ApiKey, Preferences, Profile)),
        *(kind._default_manager.filter(owner=user_id) for kind in (Document, Voice)),
    ]
    for rows in owned:
        LogEntry.objects.filter(
            content_type=ContentType.objects.get_for_model(rows.model),
            object_id__in=rows.annotate(as_text=Cast("pk", CharField())).values("as_text"),
        ).update(object_repr="deleted", change_message="")
