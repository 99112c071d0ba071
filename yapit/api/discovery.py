"""/v1/models and /v1/audio/...: what there is to choose from, in the shapes that other clients know.

Public: some of them ask without a key. An account sees its own voices, too.
"""

from django.http import HttpRequest
from ninja import Router

from yapit import catalog
from yapit.api import schemas
from yapit.api.auth import AccountOrAnybody, user_id_or_none
from yapit.api.responses import answers
from yapit.errors import UnknownModel
from yapit.models import TTSModel, Voice
from yapit.offload import offload

router = Router(tags=["models and voices"], auth=AccountOrAnybody())


@router.get("/models", response=answers(schemas.ModelList), summary="List the models")
async def list_models(request: HttpRequest) -> schemas.ModelList:
    return schemas.ModelList(data=[schemas.ModelOut.of(model) for model in await offload(_models)])


@router.get("/models/{path:model_id}", response=answers(schemas.ModelOut, 404), summary="Look at a model")
async def get_model(request: HttpRequest, model_id: str) -> schemas.ModelOut:
    found = [model for model in await offload(_models) if model.slug == model_id]
    if not found:
        raise UnknownModel("There is no such model.")
    return schemas.ModelOut.of(found[0])


@router.get("/audio/models", response=answers(schemas.AudioModelList), summary="List the models, ids only")
async def list_audio_models(request: HttpRequest) -> schemas.AudioModelList:
    models = [schemas.AudioModel(id=model.slug) for model in await offload(_models)]
    return schemas.AudioModelList(models=models)


@router.get(
    "/audio/voices",
    response=answers(schemas.VoiceList | schemas.VoiceNames, 400),
    summary="List the voices",
)
async def list_voices(
    request: HttpRequest,
    model: str | None = None,
    language: str | None = None,
    legacy: bool = False,
) -> schemas.VoiceList | schemas.VoiceNames:
    """Of one `model`; in one `language`, of which `en` means every kind. `legacy`: ids only."""
    user_id = user_id_or_none(request)
    voices = [
        voice
        for voice in await offload(_voices, user_id)
        if model in (None, voice.model.slug) and _speaks(voice, language)
    ]
    if legacy:
        return schemas.VoiceNames(voices=[voice.slug for voice in voices])
    listed = [schemas.VoiceOut.of(voice, user_id) for voice in voices]
    return schemas.VoiceList(voices=listed, data=listed)


def _models() -> list[TTSModel]:
    return list(catalog.active_models())


def _voices(user_id: int | None) -> list[Voice]:
    return list(catalog.visible_voices(user_id))


def _speaks(voice: Voice, language: str | None) -> bool:
    if not language:
        return True
    spoken, asked = (tag.lower().replace("_", "-") for tag in (voice.language, language))
    return spoken == asked or spoken.startswith(f"{asked}-")
