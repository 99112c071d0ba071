"""Which models and voices an account may use, and what choosing one means for a job."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db.models import Q, QuerySet

from config import caching
from yapit import changes
from yapit.errors import UnknownModel, UnknownVoice
from yapit.models import Profile, TTSModel, Voice
from yapit.models.speech import SLUG
from yapit.offload import offload

CACHED_SECONDS = 30.0
CACHED_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SpokenAs:
    """All that a job and its hash need to know of a model and a voice."""

    model_slug: str
    voice_slug: str
    parameters: Mapping[str, object]
    revision: str
    codec: str
    multiplier_bp: int
    usage_type: str


_Choice = tuple[str | None, str | None, int]
_resolved: caching.MemoryCache[_Choice, SpokenAs] = caching.MemoryCache(
    "choices", max_bytes=CACHED_BYTES, seconds=CACHED_SECONDS
)


def active_models() -> QuerySet[TTSModel]:
    return TTSModel.objects.filter(is_active=True)


def visible_voices(user_id: int | None) -> QuerySet[Voice]:
    """Active voices of active models that this account may use; None: those that anybody may."""
    voices = Voice.objects.filter(is_active=True, model__is_active=True).select_related("model")
    return voices.filter(_allowed(user_id)).distinct().order_by("model_id", "id")


def _allowed(user_id: int | None) -> Q:
    everyones = Q(owner=None, approved=True)
    if user_id is None:
        return everyones
    shared = Voice.testers.through.objects.filter(user_id=user_id, user__profile__is_tester=True)
    allowed = everyones | Q(owner=user_id) | Q(pk__in=shared.values("voice_id"))
    if Profile.objects.filter(user_id=user_id, is_reviewer=True).exists():
        allowed |= Q(approved=False)
    return allowed


def resolve(model_slug: str | None, voice_slug: str | None, user_id: int) -> SpokenAs:
    """What a request means by a model and a voice; a missing one is the default. Remembered for 30 s.

    Raises UnknownModel or UnknownVoice, also for what this account may not use.
    """
    choice = (model_slug, voice_slug, user_id)
    return _resolved.get_or_fetch(choice, partial(_look_up, *choice))


async def aresolve(model_slug: str | None, voice_slug: str | None, user_id: int) -> SpokenAs:
    """`resolve` without leaving the event loop while the answer is remembered."""
    choice = (model_slug, voice_slug, user_id)
    return await _resolved.aget_or_fetch(choice, partial(offload, _look_up, *choice))


def remembered(model_slug: str | None, voice_slug: str | None, user_id: int) -> SpokenAs | None:
    """`resolve`, where nothing has to be asked for it."""
    return _resolved.get((model_slug, voice_slug, user_id), None)


def forget() -> None:
    """Forget every answer, in this process."""
    _resolved.flush()


def _forget_account(event: str) -> None:
    user_id = event.removeprefix(changes.ACCOUNT)
    _resolved.invalidate_if(lambda choice, _: str(choice[2]) == user_id)


caching.subscribe(changes.CATALOG, lambda _: forget(), missed=forget)
caching.subscribe(f"{changes.ACCOUNT}*", _forget_account)


def _look_up(model_slug: str | None, voice_slug: str | None, user_id: int) -> SpokenAs:
    for slug, unknown in ((model_slug, UnknownModel), (voice_slug, UnknownVoice)):
        if slug and not re.fullmatch(SLUG, slug):
            raise unknown("This is not the name of any model or voice.")
    voices = visible_voices(user_id)
    if voice_slug:
        voices = voices.filter(slug=voice_slug)
    if model_slug or not voice_slug:
        voices = voices.filter(model__slug=model_slug or settings.DEFAULT_MODEL)
    voice = voices.first()
    if voice is None:
        raise _missing(model_slug, voice_slug)
    return _spoken_as(voice)


def _missing(model_slug: str | None, voice_slug: str | None) -> UnknownModel | UnknownVoice:
    if model_slug and not active_models().filter(slug=model_slug).exists():
        return UnknownModel("There is no such model.")
    if voice_slug:
        return UnknownVoice("There is no such voice, or not for this model and account.")
    return UnknownVoice("This model has no voice for this account.")


def _spoken_as(voice: Voice) -> SpokenAs:
    model = voice.model
    return SpokenAs(
        model_slug=model.slug,
        voice_slug=voice.slug,
        parameters=voice.parameters,
        revision=model.revision,
        codec=model.codec,
        multiplier_bp=model.usage_multiplier_bp,
        usage_type=model.usage_type,
    )
