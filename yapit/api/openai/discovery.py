"""/v1/models and /v1/audio/...: lists of models and voices in the format of the OpenAI API.

Public, since some clients send no key; an account also gets its own voices. The unfiltered public lists come
from a response cache, rebuilt every 30 seconds; other lists are built from the catalog in memory.
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
from yapit.api.http.auth import OptionalAccount, user_id_or_none
from yapit.api.http.responses import conditional_responses, responses
from yapit.api.v1 import schemas
from yapit.catalog import voices
from yapit.catalog.voices import CatalogVoice
from yapit.errors import UnknownModel

router = Router(tags=["models and voices"], auth=OptionalAccount())
lists = TtlResponseCache("discovery", follows=[invalidation.CATALOG])


@router.get("/models", response=conditional_responses(schemas.ModelList), summary="List the models")
async def list_models(request: HttpRequest) -> HttpResponse:
    return await _cached(request, "models", _list_of_models, http_cache.public)


@router.get("/models/{path:model_id}", response=responses(schemas.ModelOut, 404), summary="Get a model")
async def get_model(request: HttpRequest, model_id: str) -> schemas.ModelOut:
    matching = [model for model in await voices.amodels() if model.slug == model_id]
    if not matching:
        raise UnknownModel("There is no such model.")
    return schemas.ModelOut.of(matching[0])


@router.get(
    "/audio/models",
    response=conditional_responses(schemas.AudioModelList),
    summary="List the models, ids only",
)
async def list_audio_models(request: HttpRequest) -> HttpResponse:
    return await _cached(request, "audio models", _list_of_audio_models, http_cache.public)


@router.get(
    "/audio/voices",
    response=conditional_responses(schemas.VoiceList | schemas.VoiceNames, 400),
    summary="List the voices",
)
async def list_voices(
    request: HttpRequest,
    model: str | None = None,
    language: str | None = None,
    legacy: bool = False,
) -> HttpResponse:
    """Voices, filtered by `model` and `language`; `en` includes `en-US`. With `legacy`, ids only."""
    user_id = user_id_or_none(request)
    if user_id is None and model is None and not language:
        build = partial(_list_of_voices, legacy=legacy)
        return await _cached(request, f"voices {legacy}", build, http_cache.anonymous)
    offers = [
        offer
        for offer in await voices.alist_voices(user_id)
        if model in (None, offer.model.slug) and _speaks(offer, language)
    ]
    body = Body.of(http_cache.serialized(_voices(offers, user_id, legacy=legacy)))
    return (http_cache.anonymous if user_id is None else http_cache.private)(request, body)


async def _cached(
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
    spoken, requested = (tag.lower().replace("_", "-") for tag in (offer.language, language))
    return spoken == requested or spoken.startswith(f"{requested}-")
