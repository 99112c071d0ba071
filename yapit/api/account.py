"""/v1/me: who one is here, and what one prefers."""

from django.http import HttpRequest
from ninja import Router

from yapit import preferences
from yapit.api import schemas
from yapit.api.auth import identity_of
from yapit.api.responses import answers
from yapit.offload import offload

router = Router(tags=["account"])


@router.get("", response=answers(schemas.Me), summary="Who am I?")
async def me(request: HttpRequest) -> schemas.Me:
    """`via` says what told us: an API key, a session, or that there is only one account here."""
    identity = identity_of(request)
    return schemas.Me(id=identity.user_id, username=identity.username, via=identity.via)


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
