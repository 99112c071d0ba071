"""Account deletion: erase personal data; keep the ledger under an anonymous user id.

The user row is kept without personal data, since the ledger and the subscription refer to its id: usage that
is still in the billing stream is charged as usual. Nothing leads from the id back to a person.
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
from billing.usage.locks import lock_subscriptions
from yapit import invalidation
from yapit.accounts.authentication import LOCAL_USERNAME
from yapit.errors import AccountProtected
from yapit.models import ApiKey, Block, Document, Playback, Preferences, Profile, Section, Voice

DELETED = "deleted-"


def delete_account(user_id: int) -> None:
    """Delete in one transaction. Repeatable. Raises AccountProtected for an account that the server needs.

    On commit its keys and sessions become invalid and its open sockets close.
    """
    with transaction.atomic():
        _raise_time_limits()
        # Before the account: operators change a balance first, and are then locked by the log entry about it.
        lock_subscriptions([user_id])
        user = _lock(user_id)
        if user is None:
            return
        _redact_admin_log(user_id)
        _publish_changes(user_id)
        _delete_owned_rows(user_id)
        balances.close(user_id)
        _anonymise(user)


def check_deletable(user: User) -> None:
    """Raises AccountProtected for the account of single-user mode."""
    if user.username == LOCAL_USERNAME:
        raise AccountProtected(
            "local_account", "This is the one account of a server without log-in: it stays."
        )


def _raise_time_limits() -> None:
    with connection.cursor() as cursor:
        # The limits in the settings are for frequent requests; an account with many documents takes longer.
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        cursor.execute("SET LOCAL statement_timeout = '120s'")


def _lock(user_id: int) -> User | None:
    """Lock the account and all operators, so that the last two operators cannot leave at the same time."""
    operators = Q(is_superuser=True, is_active=True)
    rows = list(User.objects.select_for_update().filter(operators | Q(pk=user_id)).order_by("pk"))
    user = next((row for row in rows if row.pk == user_id), None)
    if user is None:
        return None
    check_deletable(user)
    if user.is_superuser and user.is_active and not any(row.is_superuser for row in rows if row is not user):
        raise AccountProtected("last_operator", "This is the last account that can run this server.")
    return user


def _publish_changes(user_id: int) -> None:
    """On commit. Called before the rows are deleted, from which the events are made."""
    invalidation.accounts_changed(user_id)
    documents = dict(Document.objects.filter(owner=user_id).values_list("pk", "is_public"))
    invalidation.documents_changed(*documents, is_public=any(documents.values()))
    if Voice.objects.filter(owner=user_id).exists():
        invalidation.catalog_changed()


def _delete_owned_rows(user_id: int) -> None:
    documents = Document.objects.filter(owner=user_id)
    Playback.objects.filter(Q(user=user_id) | Q(document__in=documents)).delete()
    for part in (Block, Section):
        part.objects.filter(document__in=documents).delete()
    documents.only("pk").delete()
    Voice.objects.filter(owner=user_id).delete()
    Voice.testers.through.objects.filter(user=user_id).delete()
    for kind in (ApiKey, Preferences, Profile):
        kind._default_manager.filter(user=user_id).delete()


def _anonymise(user: User) -> None:
    user.username = DELETED + secrets.token_hex(8)
    user.first_name = user.last_name = user.email = ""
    user.password = make_password(None)  # also ends every session
    user.is_active = user.is_staff = user.is_superuser = False
    user.last_login = None
    user.save()
    user.groups.clear()
    user.user_permissions.clear()


def _redact_admin_log(user_id: int) -> None:
    """Keep the admin's log entries about the account and its rows, without names and messages."""
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
