"""/v1/me: who one is here, and what one prefers."""

from http import HTTPStatus

from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja import Router, Status

from config.database.offload import offload
from yapit.accounts import preferences
from yapit.accounts.forms import address_of
from yapit.api.http.auth import identity_of
from yapit.api.http.responses import answers
from yapit.api.v1 import schemas
from yapit.deletion import account_deletion
from yapit.errors import ConfirmationRequired, RateLimited
from yapit.limits import login_throttle

router = Router(tags=["account"])


@router.get("", response=answers(schemas.Me), summary="Who am I?")
async def me(request: HttpRequest) -> schemas.Me:
    """`via` says what told us: an API key, a session, or that there is only one account here."""
    identity = identity_of(request)
    return schemas.Me(id=identity.user_id, username=identity.username, via=identity.via)


@router.delete(
    "",
    response=answers(None, 400, 409, 429, status=HTTPStatus.NO_CONTENT),
    summary="Delete your account",
)
async def delete_me(request: HttpRequest, farewell: schemas.Farewell) -> Status[None]:
    """Documents, positions, preferences, voices and keys go, log-ins end and open sockets close, for good.

    What was spent stays in the books, under a number that leads to nobody. Takes the account's `password`.
    """
    identity = identity_of(request)
    await offload(_delete, identity.user_id, farewell, address_of(request))
    return Status(HTTPStatus.NO_CONTENT, None)


@router.get("/preferences", response=answers(schemas.PreferencesOut), summary="Read your preferences")
async def get_preferences(request: HttpRequest) -> schemas.PreferencesOut:
    return schemas.PreferencesOut.of(await preferences.aof(identity_of(request).user_id))


@router.patch(
    "/preferences", response=answers(schemas.PreferencesOut, 400), summary="Change your preferences"
)
async def change_preferences(
    request: HttpRequest, change: schemas.PreferencesChange
) -> schemas.PreferencesOut:
    fields = change.model_dump(include=change.model_fields_set)
    if "default_voice" in fields:
        fields["default_voice"] = fields["default_voice"] or ""
    return schemas.PreferencesOut.of(await offload(preferences.change, identity_of(request).user_id, fields))


def _delete(user_id: int, farewell: schemas.Farewell, address: str) -> None:
    user = User.objects.filter(pk=user_id).first()
    if user is not None:
        account_deletion.check_deletable(user)
        _check_farewell(user, farewell, address)
    account_deletion.delete_account(user_id)


def _check_farewell(user: User, farewell: schemas.Farewell, address: str) -> None:
    if not user.has_usable_password():
        if farewell.confirm != user.username:
            raise ConfirmationRequired("confirmation_needed", "Send the account's name as `confirm`.")
    elif not farewell.password:
        raise ConfirmationRequired("password_needed", "Send the account's `password`.")
    else:
        if wait := login_throttle.take(user.username, address):
            raise RateLimited(wait)
        if not user.check_password(farewell.password):
            raise ConfirmationRequired("wrong_password", "That is not the password of this account.")
        login_throttle.give_back(user.username, address)
