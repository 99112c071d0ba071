"""Models and voices as rows once were, kept in memory: everyone's, and of each account those it has beside.

What is kept cannot be changed, and lists are the caller's own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
from django.db.models import Q, QuerySet

from config import caching
from config.database.rows import fetch_rows
from yapit import invalidation
from yapit.accounts import roles
from yapit.accounts.roles import NO_ROLES, Roles
from yapit.models import TTSModel, Voice

CACHED_SECONDS = 30.0
CACHED_BYTES = 16 * 1024 * 1024
# Ids of the active voices that the account may use and others may not: its own, those shared with it as a
# tester, and unapproved ones as a reviewer. The same as `_beside`.
SELECT_PERSONAL_IDS = f"""
SELECT v.id
FROM {Voice._meta.db_table} v JOIN {TTSModel._meta.db_table} m ON m.id = v.model_id
WHERE v.is_active AND m.is_active AND NOT (v.approved AND v.owner_id IS NULL) AND (
    v.owner_id = %(user_id)s
    OR %(is_tester)s AND v.id IN (
        SELECT voice_id FROM {Voice.testers.through._meta.db_table} WHERE user_id = %(user_id)s
    )
    OR %(is_reviewer)s AND NOT v.approved
)
"""  # noqa: S608  # our own names


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model that is switched on."""

    id: int
    slug: str
    name: str
    created: datetime
    revision: str
    codec: str
    multiplier_bp: int
    usage_type: str


@dataclass(frozen=True, slots=True)
class CatalogVoice:
    """A voice that somebody may use."""

    id: int
    slug: str
    name: str
    language: str
    gender: str
    description: str
    parameters: bytes  # JSON, from which each caller makes an object of its own
    owner_id: int | None
    model: CatalogModel

    @property
    def rank(self) -> tuple[int, int]:
        return self.model.id, self.id


@dataclass(frozen=True, slots=True)
class Slice:
    """Some voices, in their order."""

    by_slug: Mapping[str, CatalogVoice]

    def first_of(self, model_slug: str) -> CatalogVoice | None:
        return next((offer for offer in self.by_slug.values() if offer.model.slug == model_slug), None)


# Whose, and as what: an account that is no tester any longer does not find what it had as one.
_Whose = tuple[int | None, bool, bool]
EVERYONES: _Whose = (None, False, False)
_slices: caching.RowCache[_Whose, Slice] = caching.RowCache(
    "voices", max_bytes=CACHED_BYTES, seconds=CACHED_SECONDS
)
_models: caching.RowCache[str, tuple[CatalogModel, ...]] = caching.RowCache(
    "models", max_bytes=CACHED_BYTES // 4, seconds=CACHED_SECONDS
)


def _keys_of_account(event: str) -> Iterable[_Whose]:
    """The account's slices for every combination of roles."""
    user_id = invalidation.account_of(event)
    return [(user_id, tester, reviewer) for tester in (False, True) for reviewer in (False, True)]


_slices.flush_on(invalidation.CATALOG)
_slices.invalidate_on(f"{invalidation.ACCOUNT}*", f"{invalidation.ACCESS}*", keys=_keys_of_account)
_models.flush_on(invalidation.CATALOG)


def forget() -> None:
    """Forget everything, in this process."""
    _slices.flush()
    _models.flush()
    roles.forget()


# --- Looking up -------------------------------------------------------------------------------------------


def models() -> tuple[CatalogModel, ...]:
    return _models.read("active", lambda _: read_models())


async def amodels() -> tuple[CatalogModel, ...]:
    return await _models.aread("active", lambda _: read_models())


def slices(user_id: int) -> tuple[Slice, Slice]:
    """Everyone's voices, and those that this account has beside."""
    own = _whose(user_id, roles.of(user_id))
    return (
        _slices.read(EVERYONES, _read),
        _slices.read(own, _read),
    )


async def aslices(user_id: int) -> tuple[Slice, Slice]:
    own = _whose(user_id, await roles.aof(user_id))
    return (
        await _slices.aread(EVERYONES, _read),
        await _slices.aread(own, _read),
    )


def cached_slices(user_id: int) -> tuple[Slice, Slice] | None:
    """`slices`, where nothing has to be asked for it."""
    found = roles.cached(user_id)
    everyones = _slices.peek(EVERYONES)
    own = _slices.peek(_whose(user_id, found)) if found else None
    return (everyones, own) if everyones and own else None


async def aoffers(user_id: int | None) -> list[CatalogVoice]:
    """All that this account may use, in order; None: what anybody may."""
    if user_id is None:
        everyones = await _slices.aread(EVERYONES, _read)
        return list(everyones.by_slug.values())
    found = await aslices(user_id)
    return sorted((offer for part in found for offer in part.by_slug.values()), key=lambda offer: offer.rank)


def _whose(user_id: int, found: Roles) -> _Whose:
    return user_id, found.is_tester, found.is_reviewer


# --- Reading; in a thread ---------------------------------------------------------------------------------


def read_models() -> tuple[CatalogModel, ...]:
    return tuple(_speaker(model) for model in TTSModel.objects.filter(is_active=True))


def read_everyones() -> list[CatalogVoice]:
    return list(_read(EVERYONES).by_slug.values())


def visible(user_id: int | None, found: Roles = NO_ROLES) -> QuerySet[Voice]:
    """Active voices of active models that this account may use; None: those that anybody may."""
    voices = Voice.objects.filter(is_active=True, model__is_active=True).select_related("model")
    return voices.filter(_everyones() | _own(user_id, found)).order_by("model_id", "id")


def _everyones() -> Q:
    return Q(owner=None, approved=True)


def _own(user_id: int | None, found: Roles) -> Q:
    if user_id is None:
        return Q(pk__in=[])
    own = Q(owner=user_id)
    if found.is_tester:
        shared = Voice.testers.through.objects.filter(user_id=user_id)
        own |= Q(pk__in=shared.values("voice_id"))
    if found.is_reviewer:
        own |= Q(approved=False)
    return own


def _beside(found: Roles, user_id: int | None) -> QuerySet[Voice]:
    """What this account may use and not everybody."""
    return visible(user_id, found).exclude(_everyones())


def _read(whose: _Whose) -> Slice:
    user_id, is_tester, is_reviewer = whose
    if user_id is None:
        return _slice(visible(None))
    params = {"user_id": user_id, "is_tester": is_tester, "is_reviewer": is_reviewer}
    # Every account asks, and nearly none has such voices: the ORM is used only for those that do.
    if not fetch_rows(SELECT_PERSONAL_IDS, params):
        return Slice({})
    return _slice(_beside(Roles(is_tester, is_reviewer), user_id))


def _slice(voices: Iterable[Voice]) -> Slice:
    return Slice({offer.slug: offer for offer in _offers(voices)})


def _offers(voices: Iterable[Voice]) -> Iterable[CatalogVoice]:
    speakers: dict[int, CatalogModel] = {}
    for voice in voices:
        speaker = speakers.setdefault(voice.model_id, _speaker(voice.model))
        yield CatalogVoice(
            id=voice.pk,
            slug=voice.slug,
            name=voice.name,
            language=voice.language,
            gender=voice.gender,
            description=voice.description,
            parameters=msgspec.json.encode(voice.parameters),
            owner_id=voice.owner_id,
            model=speaker,
        )


def _speaker(model: TTSModel) -> CatalogModel:
    return CatalogModel(
        id=model.pk,
        slug=model.slug,
        name=model.name,
        created=model.created,
        revision=model.revision,
        codec=model.codec,
        multiplier_bp=model.usage_multiplier_bp,
        usage_type=model.usage_type,
    )
