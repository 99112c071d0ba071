"""What choosing a model and a voice means for a job, decided from what is kept in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from django.conf import settings

from yapit.catalog import voices
from yapit.catalog.voices import CatalogModel, CatalogVoice, Slice
from yapit.errors import UnknownModel, UnknownVoice


@dataclass(frozen=True, slots=True)
class SpokenAs:
    """All that a job and its hash need to know of a model and a voice. The caller's own."""

    model_slug: str
    voice_slug: str
    parameters: Mapping[str, object]
    revision: str
    codec: str
    multiplier_bp: int
    usage_type: str
    language: str = field(default="", compare=False)  # shapes no sound


def resolve(model_slug: str | None, voice_slug: str | None, user_id: int) -> SpokenAs:
    """What a request means by a model and a voice; a missing one is the default.

    Raises UnknownModel or UnknownVoice, also for what this account may not use.
    """
    found = _find(model_slug, voice_slug, voices.slices(user_id))
    if found is None:
        raise _missing(model_slug, voice_slug, voices.models())
    return _spoken_as(found)


async def aresolve(model_slug: str | None, voice_slug: str | None, user_id: int) -> SpokenAs:
    """`resolve` without leaving the event loop while the voices are remembered."""
    found = _find(model_slug, voice_slug, await voices.aslices(user_id))
    if found is None:
        raise _missing(model_slug, voice_slug, await voices.amodels())
    return _spoken_as(found)


def resolve_cached(model_slug: str | None, voice_slug: str | None, user_id: int) -> SpokenAs | None:
    """`resolve`, where nothing has to be asked for it."""
    slices = voices.cached_slices(user_id)
    found = _find(model_slug, voice_slug, slices) if slices else None
    return _spoken_as(found) if found else None


def forget() -> None:
    """Forget every answer, in this process."""
    voices.forget()


def _find(model_slug: str | None, voice_slug: str | None, slices: tuple[Slice, Slice]) -> CatalogVoice | None:
    if voice_slug:
        named = [part.by_slug[voice_slug] for part in slices if voice_slug in part.by_slug]
        return next((offer for offer in named if model_slug in (None, "", offer.model.slug)), None)
    model = model_slug or settings.DEFAULT_MODEL
    firsts = [first for part in slices if (first := part.first_of(model))]
    return min(firsts, key=lambda offer: offer.rank, default=None)


def _missing(
    model_slug: str | None, voice_slug: str | None, models: tuple[CatalogModel, ...]
) -> UnknownModel | UnknownVoice:
    if model_slug and all(model.slug != model_slug for model in models):
        return UnknownModel("There is no such model.")
    if voice_slug:
        return UnknownVoice("There is no such voice, or not for this model and account.")
    return UnknownVoice("This model has no voice for this account.")


def _spoken_as(offer: CatalogVoice) -> SpokenAs:
    model = offer.model
    return SpokenAs(
        model_slug=model.slug,
        voice_slug=offer.slug,
        parameters=msgspec.json.decode(offer.parameters, type=dict[str, object]),
        revision=model.revision,
        codec=model.codec,
        multiplier_bp=model.multiplier_bp,
        usage_type=model.usage_type,
        language=offer.language,
    )
