"""Voice resolution: the model, voice and parameters of a job, from the cached catalog."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from django.conf import settings

from yapit.catalog import voices
from yapit.catalog.voices import CatalogModel, CatalogVoice, VoiceSlice
from yapit.errors import UnknownModel, UnknownVoice


@dataclass(frozen=True, slots=True)
class SpokenAs:
    """The parts of a model and a voice that a job and its hash need. Not shared with other callers."""

    model_slug: str
    voice_slug: str
    parameters: Mapping[str, object]
    revision: str
    codec: str
    multiplier_bp: int
    usage_type: str
    language: str = field(default="", compare=False)  # does not affect the audio


def resolve(model_slug: str | None, voice_slug: str | None, user_id: int) -> SpokenAs:
    """The voice for the given names; a missing model or voice means the default. Blocks unless cached.

    Raises UnknownModel or UnknownVoice, also for a voice that the account may not use.
    """
    voice = _find(model_slug, voice_slug, voices.slices(user_id))
    if voice is None:
        raise _missing(model_slug, voice_slug, voices.models())
    return _spoken_as(voice)


async def aresolve(model_slug: str | None, voice_slug: str | None, user_id: int) -> SpokenAs:
    """Like `resolve`; queries run in a thread."""
    voice = _find(model_slug, voice_slug, await voices.aslices(user_id))
    if voice is None:
        raise _missing(model_slug, voice_slug, await voices.amodels())
    return _spoken_as(voice)


def resolve_cached(model_slug: str | None, voice_slug: str | None, user_id: int) -> SpokenAs | None:
    """Like `resolve` from the cache alone: None if the catalog is not cached or has no such voice."""
    slices = voices.cached_slices(user_id)
    voice = _find(model_slug, voice_slug, slices) if slices else None
    return _spoken_as(voice) if voice else None


def forget() -> None:
    """Clear the caches of this process."""
    voices.forget()


def _find(
    model_slug: str | None, voice_slug: str | None, slices: tuple[VoiceSlice, VoiceSlice]
) -> CatalogVoice | None:
    if voice_slug:
        named = [part.by_slug[voice_slug] for part in slices if voice_slug in part.by_slug]
        return next((voice for voice in named if model_slug in (None, "", voice.model.slug)), None)
    model = model_slug or settings.DEFAULT_MODEL
    firsts = [first for part in slices if (first := part.first_of(model))]
    return min(firsts, key=lambda voice: voice.rank, default=None)


def _missing(
    model_slug: str | None, voice_slug: str | None, models: tuple[CatalogModel, ...]
) -> UnknownModel | UnknownVoice:
    if model_slug and all(model.slug != model_slug for model in models):
        return UnknownModel("There is no such model.")
    if voice_slug:
        return UnknownVoice("There is no such voice, or not for this model and account.")
    return UnknownVoice("This model has no voice for this account.")


def _spoken_as(voice: CatalogVoice) -> SpokenAs:
    model = voice.model
    return SpokenAs(
        model_slug=model.slug,
        voice_slug=voice.slug,
        parameters=msgspec.json.decode(voice.parameters, type=dict[str, object]),
        revision=model.revision,
        codec=model.codec,
        multiplier_bp=model.multiplier_bp,
        usage_type=model.usage_type,
        language=voice.language,
    )
