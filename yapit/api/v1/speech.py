"""POST /v1/synthesize and voice previews: audio of one text in one request."""

from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Path, Router

from yapit.accounts.identity import Identity
from yapit.api.http import conditional
from yapit.api.http.auth import identity_of
from yapit.api.http.responses import responses
from yapit.api.v1 import schemas
from yapit.catalog import previews, resolution
from yapit.catalog.resolution import SpokenAs
from yapit.realtime.synthesize_once import Spoken, SynthesizedAudio, speak, synthesize_audio
from yapit.synthesis import block_cache
from yapit.synthesis.speech_job import SpeechSpec

router = Router(tags=["speech"])

AUDIO_RESPONSE = {
    "responses": {
        200: {
            "description": "The audio, or with `Accept: application/json` its URL.",
            "content": {"audio/ogg": {"schema": {"type": "string", "format": "binary"}}},
        }
    }
}
PREVIEW_SECONDS = 86_400


@router.post(
    "/synthesize",
    response=responses(schemas.SpeechOut, 400, 402, 404, 413, 422, 429, 502, 504),
    summary="Synthesize a text",
    openapi_extra=AUDIO_RESPONSE,
)
async def synthesize(request: HttpRequest, speech: schemas.NewSpeech) -> HttpResponse:
    """Waits for the result. Responds with the audio, or with its URL if `Accept` prefers JSON.

    The same text in the same voice is synthesized only once, for all accounts. Repeating a request after a
    lost connection or a `504` joins the synthesis in progress and is not charged twice.
    """
    identity = identity_of(request)
    spoken_as = await resolution.aresolve(speech.model, speech.voice, identity.user_id)
    spec = block_cache.job_spec(speech.text, spoken_as)
    if _wants_json(request):
        return _json_response(await speak(identity, spec), spoken_as)
    return _audio_response(*await synthesize_audio(identity, spec))


@router.get(
    "/audio/voices/{path:voice_id}/preview",
    response=responses(None, 304, 404, 429, 502, 504),
    summary="Preview a voice",
    openapi_extra=AUDIO_RESPONSE,
)
async def preview(request: HttpRequest, voice_id: Annotated[str, Path()]) -> HttpResponse:
    """A sentence in the language of the voice. Free, but counts towards the blocks per minute."""
    identity = identity_of(request)
    spec = await _preview_of(identity, voice_id)
    if conditional.is_known(request.headers.get("If-None-Match"), spec.hash):
        return _cacheable(HttpResponse(status=304), spec.hash)
    return _cacheable(_audio_response(*await synthesize_audio(identity, spec, is_billable=False)), spec.hash)


async def _preview_of(identity: Identity, voice_id: str) -> SpeechSpec:
    spoken_as = await resolution.aresolve(None, voice_id, identity.user_id)
    return block_cache.job_spec(previews.sentence(spoken_as.language), spoken_as)


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["audio/ogg", "application/json"]) == "application/json"


def _json_response(spoken: Spoken, spoken_as: SpokenAs) -> HttpResponse:
    words = msgspec.Raw((spoken.words or "null").encode())
    content = {
        "hash": spoken.hash,
        "audio_url": f"/v1/audio/{spoken.hash}",
        "duration_ms": spoken.duration_ms,
        "words": words,
        "cached": spoken.was_cached,
        "model": spoken_as.model_slug,
        "voice": spoken_as.voice_slug,
    }
    return HttpResponse(msgspec.json.encode(content), content_type="application/json")


def _audio_response(spoken: Spoken, audio: SynthesizedAudio) -> HttpResponse:
    response = HttpResponse(audio.data, content_type=audio.media_type)
    response["ETag"] = f'"{spoken.hash}"'
    response["Content-Location"] = f"/v1/audio/{spoken.hash}"
    response["X-Audio-Hash"] = spoken.hash
    response["X-Audio-Sum"] = audio.checksum
    response["X-Duration-Ms"] = str(spoken.duration_ms)
    response["X-Cache"] = "hit" if spoken.was_cached else "miss"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _cacheable(response: HttpResponse, variant: str) -> HttpResponse:
    """Cacheable for a day only: another revision of the engine changes the audio of the same URL."""
    response["ETag"] = f'"{variant}"'
    response["Cache-Control"] = f"private, max-age={PREVIEW_SECONDS}"
    return response
