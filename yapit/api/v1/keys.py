"""/v1/keys: API keys of an account.

A key can list keys and revoke itself. Creating and renaming keys require a session: a leaked key that could
create others would give access beyond its own revocation.
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
from yapit.api.http.responses import responses
from yapit.api.v1 import schemas
from yapit.errors import LoginRequired
from yapit.models import ApiKey

router = Router(tags=["keys"])


@router.get("", response=responses(schemas.KeyList), summary="List your API keys")
async def list_keys(request: HttpRequest, response: HttpResponse) -> schemas.KeyList:
    """Newest first, without revoked keys. Tokens are not stored and cannot be listed."""
    listed = [schemas.KeyOut.of(key) for key in await offload(_list_keys, identity_of(request).user_id)]
    response["Cache-Control"] = "no-store"
    return schemas.KeyList(data=listed, total=len(listed), limit=settings.KEYS_PER_ACCOUNT)


@router.post(
    "",
    response=responses(schemas.NewKeyOut, 400, 409, status=HTTPStatus.CREATED),
    summary="Create an API key",
)
async def create_key(
    request: HttpRequest, response: HttpResponse, new: schemas.KeyRequest
) -> Status[schemas.NewKeyOut]:
    """The only response with the token: save it now. Requires a session, not an API key."""
    days = new.expires_in_days
    expires_at = timezone.now() + timedelta(days=days) if days else None
    created = await offload(keys.add_key, _session_user_id(request), new.name, expires_at=expires_at)
    response["Cache-Control"] = "no-store"
    shown = schemas.NewKeyOut(token=created.token, **schemas.KeyOut.fields_of(created.key))
    return Status(HTTPStatus.CREATED, shown)


@router.patch("/{key_id}", response=responses(schemas.KeyOut, 400, 404), summary="Rename an API key")
async def rename_key(request: HttpRequest, key_id: str, change: schemas.KeyChange) -> schemas.KeyOut:
    """Requires a session, not an API key."""
    return schemas.KeyOut.of(await offload(keys.rename, _session_user_id(request), key_id, change.name))


@router.delete(
    "/{key_id}",
    response=responses(None, 404, status=HTTPStatus.NO_CONTENT),
    summary="Revoke an API key",
)
async def revoke_key(request: HttpRequest, key_id: str) -> Status[None]:
    """Takes effect immediately and closes its WebSockets. Idempotent. A key can revoke only itself."""
    identity = identity_of(request)
    if identity.api_key_id != key_id:
        _session_user_id(request)
    await offload(keys.revoke_own, identity.user_id, key_id)
    return Status(HTTPStatus.NO_CONTENT, None)


def _session_user_id(request: HttpRequest) -> int:
    identity = identity_of(request)
    if identity.via == "key":
        raise LoginRequired("This takes a log-in: an API key cannot do it.")
    return identity.user_id


def _list_keys(user_id: int) -> list[ApiKey]:
    return list(keys.keys_of(user_id))
