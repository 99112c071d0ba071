"""/v1/keys: the API keys of an account, made and revoked by the person it belongs to.

A key may look at the list and revoke itself. Making and renaming take a log-in: with a key that makes keys,
whoever found it once would keep a way in after it is revoked.
"""

from datetime import timedelta
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router, Status

from config.database.offload import offload
from yapit.accounts import keys
from yapit.api.http.auth import identity_of
from yapit.api.http.responses import answers
from yapit.api.v1 import schemas
from yapit.errors import LoginRequired
from yapit.models import ApiKey

router = Router(tags=["keys"])


@router.get("", response=answers(schemas.KeyList), summary="List your API keys")
async def list_keys(request: HttpRequest, response: HttpResponse) -> schemas.KeyList:
    """Newest first, without those that were revoked, and without their tokens, which nobody has."""
    found = [schemas.KeyOut.of(key) for key in await offload(_keys, identity_of(request).user_id)]
    response["Cache-Control"] = "no-store"
    return schemas.KeyList(data=found, total=len(found), limit=settings.KEYS_PER_ACCOUNT)


@router.post(
    "", response=answers(schemas.NewKeyOut, 400, 409, status=HTTPStatus.CREATED), summary="Make an API key"
)
async def create_key(
    request: HttpRequest, response: HttpResponse, new: schemas.NewKey
) -> Status[schemas.NewKeyOut]:
    """The only answer that has the token: keep it now. Takes a log-in; a key cannot make keys."""
    days = new.expires_in_days
    expires_at = timezone.now() + timedelta(days=days) if days else None
    made = await offload(keys.add_key, _person(request), new.name, expires_at=expires_at)
    response["Cache-Control"] = "no-store"
    shown = schemas.NewKeyOut(token=made.token, **schemas.KeyOut.fields_of(made.key))
    return Status(HTTPStatus.CREATED, shown)


@router.patch("/{key_id}", response=answers(schemas.KeyOut, 400, 404), summary="Rename an API key")
async def rename_key(request: HttpRequest, key_id: str, change: schemas.KeyChange) -> schemas.KeyOut:
    """Takes a log-in."""
    return schemas.KeyOut.of(await offload(keys.rename, _person(request), key_id, change.name))


@router.delete(
    "/{key_id}",
    response=answers(None, 404, status=HTTPStatus.NO_CONTENT),
    summary="Revoke an API key",
)
async def revoke_key(request: HttpRequest, key_id: str) -> Status[None]:
    """Takes effect at once: its open sockets close. May be repeated. A key can revoke itself and no other."""
    identity = identity_of(request)
    if identity.api_key_id != key_id:
        _person(request)
    await offload(keys.revoke_own, identity.user_id, key_id)
    return Status(HTTPStatus.NO_CONTENT, None)


def _person(request: HttpRequest) -> int:
    identity = identity_of(request)
    if identity.via == "key":
        raise LoginRequired("This takes a log-in: an API key cannot do it.")
    return identity.user_id


def _keys(user_id: int) -> list[ApiKey]:
    return list(keys.keys_of(user_id))
