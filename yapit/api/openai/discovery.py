"""/v1/models and /v1/audio/...: what there is to choose from, in the shapes that other clients know.

Public: some of them ask without a key. An account sees its own voices, too. The lists that everybody gets are
built once in half a minute; what is filtered or an account's own is made of what is kept in memory.
"""

from collections.abc import Callable
from functools import partial

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import BaseModel

from config.caching import Body, TtlResponseCache
from config.database.offload import offload
from yapit import invalidation
from yapit.api.http import http_cache
from yapit.api.http.auth import AccountOrAnybody, user_id_or_none
from yapit.api.http.responses import answers, conditional_answers
from yapit.api.v1 import schemas
from yapit.catalog import voices
from yapit.catalog.voices import CatalogVoice
from yapit.errors import UnknownModel

router = Router(tags=["models and voices"], auth=AccountOrAnybody())
lists = TtlResponseCache("discovery", follows=[invalidation.CATALOG])


@router.get("/models", response=conditional_answers(schemas.ModelList), summary="List the models")
async def list_models(request: HttpRequest) -> HttpResponse:
    return await _kept(request, "models", _list_of_models, http_cache.public)


@router.get("/models/{path:model_id}", response=answers(schemas.ModelOut, 404), summary="Look at a model")
async def get_model(request: HttpRequest, model_id: str) -> schemas.ModelOut:
    found = [model for model in await voices.amodels() if model.slug == model_id]
    if not found:
        raise UnknownModel("There is no such model.")
    return schemas.ModelOut.of(found[0])


@router.get(
    "/audio/models", response=conditional_answers(schemas.AudioModelList), summary="List the models, ids only"
)
async def list_audio_models(request: HttpRequest) -> HttpResponse:
    return await _kept(request, "audio models", _list_of_audio_models, http_cache.public)


@router.get(
    "/audio/voices",
    response=conditional_answers(schemas.VoiceList | schemas.VoiceNames, 400),
    summary="List the voices",
)
async def list_voices(
    request: HttpRequest,
    model: str | None = None,
    language: str | None = None,
    legacy: bool = False,
) -> HttpResponse:
    """Of one `model`; in one `language`, of which `en` means every kind. `legacy`: ids only."""
    user_id = user_id_or_none(request)
    if user_id is None and model is None and not language:
        everyones = partial(_list_of_voices, legacy=legacy)
        return await _kept(request, f"voices {legacy}", everyones, http_cache.anybodys)
    offers = [
        offer
        for offer in await voices.alist_voices(user_id)
        if model in (None, offer.model.slug) and _speaks(offer, language)
    ]
    body = Body.of(http_cache.serialized(_voices(offers, user_id, legacy=legacy)))
    return (http_cache.anybodys if user_id is None else http_cache.private)(request, body)


async def _kept(
    request: HttpRequest, name: str, read: Callable[[], BaseModel], serve: http_cache.Serve
) -> HttpResponse:
    key, build = (name,), partial(offload, _serialized, read)
    body = await lists.get(key, build)
    return serve(request, body, partial(lists.holds, key, build, body.etag))


def _serialized(read: Callable[[], BaseModel]) -> bytes:
    return http_cache.serialized(read())


def _list_of_models() -> schemas.ModelList:
    return schemas.ModelList(data=[schemas.ModelOut.of(model) for model in voices.read_models()])


def _list_of_audio_models() -> schemas.AudioModelList:
    models = [schemas.AudioModel(id=model.slug) for model in voices.read_models()]
    return schemas.AudioModelList(models=models)


def _list_of_voices(*, legacy: bool) -> schemas.VoiceList | schemas.VoiceNames:
    return _voices(voices.read_public_voices(), None, legacy=legacy)


def _voices(
    offers: list[CatalogVoice], user_id: int | None, *, legacy: bool
) -> schemas.VoiceList | schemas.VoiceNames:
    if legacy:
        return schemas.VoiceNames(voices=[offer.slug for offer in offers])
    listed = [schemas.VoiceOut.of(offer, user_id) for offer in offers]
    return schemas.VoiceList(voices=listed, data=listed)


def _speaks(offer: CatalogVoice, language: str | None) -> bool:
    if not language:
        return True
    spoken, asked = (tag.lower().replace("_", "-") for tag in (offer.language, language))
    return spoken == asked or spoken.startswith(f"{asked}-")
