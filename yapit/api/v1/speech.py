"""POST /v1/synthesize and voice previews: one text in, its audio out, in one request."""

from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse
from ninja import Path, Router

from yapit.accounts.identity import Identity
from yapit.api.http import conditional
from yapit.api.http.auth import identity_of
from yapit.api.http.responses import answers
from yapit.api.v1 import schemas
from yapit.catalog import previews, resolution
from yapit.catalog.resolution import SpokenAs
from yapit.jobs import JobSpec
from yapit.realtime.synthesize_once import Audio, Spoken, speak, synthesize_audio
from yapit.synthesis import block_cache

router = Router(tags=["speech"])

AUDIO_ANSWER = {
    "responses": {
        200: {
            "description": "The audio, or with `Accept: application/json` where it is.",
            "content": {"audio/ogg": {"schema": {"type": "string", "format": "binary"}}},
        }
    }
}
PREVIEW_SECONDS = 86_400


@router.post(
    "/synthesize",
    response=answers(schemas.SpeechOut, 400, 402, 404, 413, 422, 429, 502, 504),
    summary="Speak one text",
    openapi_extra=AUDIO_ANSWER,
)
async def synthesize(request: HttpRequest, speech: schemas.NewSpeech) -> HttpResponse:
    """Waits until it is spoken. Answers with the audio, or with its address where `Accept` prefers JSON.

    The same text in the same voice is spoken once, for whoever asks; to ask again after a loss or a `504`
    joins what is under way and is not billed twice.
    """
    who = identity_of(request)
    spoken_as = await resolution.aresolve(speech.model, speech.voice, who.user_id)
    work = block_cache.work_of(speech.text, spoken_as)
    if _wants_json(request):
        return _described(await speak(who, work), spoken_as)
    return _sounding(*await synthesize_audio(who, work))


@router.get(
    "/audio/voices/{path:voice_id}/preview",
    response=answers(None, 304, 404, 429, 502, 504),
    summary="Hear a voice",
    openapi_extra=AUDIO_ANSWER,
)
async def preview(request: HttpRequest, voice_id: Annotated[str, Path()]) -> HttpResponse:
    """One sentence in the voice's language. Free; it counts as a block among those of a minute."""
    who = identity_of(request)
    work = await _preview_of(who, voice_id)
    if conditional.is_known(request.headers.get("If-None-Match"), work.hash):
        return _kept(HttpResponse(status=304), work.hash)
    return _kept(_sounding(*await synthesize_audio(who, work, is_billable=False)), work.hash)


async def _preview_of(who: Identity, voice_id: str) -> JobSpec:
    spoken_as = await resolution.aresolve(None, voice_id, who.user_id)
    return block_cache.work_of(previews.sentence(spoken_as.language), spoken_as)


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["audio/ogg", "application/json"]) == "application/json"


def _described(spoken: Spoken, spoken_as: SpokenAs) -> HttpResponse:
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


def _sounding(spoken: Spoken, audio: Audio) -> HttpResponse:
    answer = HttpResponse(audio.data, content_type=audio.media_type)
    answer["ETag"] = f'"{spoken.hash}"'
    answer["Content-Location"] = f"/v1/audio/{spoken.hash}"
    answer["X-Audio-Hash"] = spoken.hash
    answer["X-Audio-Sum"] = audio.checksum
    answer["X-Duration-Ms"] = str(spoken.duration_ms)
    answer["X-Cache"] = "hit" if spoken.was_cached else "miss"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def _kept(answer: HttpResponse, variant: str) -> HttpResponse:
    """A day: another revision of the engine may sound better under the same address."""
    answer["ETag"] = f'"{variant}"'
    answer["Cache-Control"] = f"private, max-age={PREVIEW_SECONDS}"
    return answer
