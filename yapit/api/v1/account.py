"""/v1/me: identity, preferences and deletion of the account."""

from http import HTTPStatus

from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja import Router, Status

from config.database.offload import offload
from yapit.accounts import preferences
from yapit.accounts.forms import address_of
from yapit.api.http.auth import identity_of
from yapit.api.http.responses import responses
from yapit.api.v1 import schemas
from yapit.deletion import account_deletion
from yapit.errors import ConfirmationRequired, RateLimited
from yapit.limits import login_throttle

router = Router(tags=["account"])


@router.get("", response=responses(schemas.Me), summary="Get your account")
async def me(request: HttpRequest) -> schemas.Me:
    """`via` is the kind of credentials: `key`, `session`, or `local` in single-user mode."""
    identity = identity_of(request)
    return schemas.Me(id=identity.user_id, username=identity.username, via=identity.via)


@router.delete(
    "",
    response=responses(None, 400, 409, 429, status=HTTPStatus.NO_CONTENT),
    summary="Delete your account",
)
async def delete_me(request: HttpRequest, confirmation: schemas.AccountDeletion) -> Status[None]:
    """Permanently deletes documents, positions, preferences, voices and keys; ends sessions and WebSockets.

    Charges remain in the ledger under an anonymous id. Requires the account's `password`.
    """
    identity = identity_of(request)
    await offload(_delete, identity.user_id, confirmation, address_of(request))
    return Status(HTTPStatus.NO_CONTENT, None)


@router.get("/preferences", response=responses(schemas.PreferencesOut), summary="Get your preferences")
async def get_preferences(request: HttpRequest) -> schemas.PreferencesOut:
    return schemas.PreferencesOut.of(await preferences.aof(identity_of(request).user_id))


@router.patch(
    "/preferences", response=responses(schemas.PreferencesOut, 400), summary="Change your preferences"
)
async def change_preferences(
    request: HttpRequest, change: schemas.PreferencesChange
) -> schemas.PreferencesOut:
    fields = change.model_dump(include=change.model_fields_set)
    if "default_voice" in fields:
        fields["default_voice"] = fields["default_voice"] or ""
    return schemas.PreferencesOut.of(await offload(preferences.change, identity_of(request).user_id, fields))


def _delete(user_id: int, confirmation: schemas.AccountDeletion, address: str) -> None:
    user = User.objects.filter(pk=user_id).first()
    if user is not None:
        account_deletion.check_deletable(user)
        _check_confirmation(user, confirmation, address)
    account_deletion.delete_account(user_id)


def _check_confirmation(user: User, confirmation: schemas.AccountDeletion, address: str) -> None:
    if not user.has_usable_password():
        if confirmation.confirm != user.username:
            raise ConfirmationRequired("confirmation_needed", "Send the account's name as `confirm`.")
    elif not confirmation.password:
        raise ConfirmationRequired("password_needed", "Send the account's `password`.")
    else:
        if wait := login_throttle.take(user.username, address):
            raise RateLimited(wait)
        if not user.check_password(confirmation.password):
            raise ConfirmationRequired("wrong_password", "That is not the password of this account.")
        login_throttle.give_back(user.username, address)
