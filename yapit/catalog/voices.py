"""Models and voices: cached look-up of public voices and, per account, of its personal ones.

Cached values are immutable copies of rows. Returned lists belong to the caller.
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
# tester, and unapproved ones as a reviewer. The same as `_personal`.
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
    """An active model."""

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
    """An active voice of an active model."""

    id: int
    slug: str
    name: str
    language: str
    gender: str
    description: str
    parameters: bytes  # JSON, decoded by each caller: a decoded object would be shared and mutable
    owner_id: int | None
    model: CatalogModel

    @property
    def rank(self) -> tuple[int, int]:
        return self.model.id, self.id


@dataclass(frozen=True, slots=True)
class VoiceSlice:
    """Voices by slug, ordered by rank."""

    by_slug: Mapping[str, CatalogVoice]

    def first_of(self, model_slug: str) -> CatalogVoice | None:
        """The first voice of a model, or None."""
        return next((voice for voice in self.by_slug.values() if voice.model.slug == model_slug), None)


# Account id, is_tester, is_reviewer. With the roles in the key, a change of roles needs no invalidation.
_SliceKey = tuple[int | None, bool, bool]
PUBLIC: _SliceKey = (None, False, False)
_slices: caching.RowCache[_SliceKey, VoiceSlice] = caching.RowCache(
    "voices", max_bytes=CACHED_BYTES, seconds=CACHED_SECONDS
)
_models: caching.RowCache[str, tuple[CatalogModel, ...]] = caching.RowCache(
    "models", max_bytes=CACHED_BYTES // 4, seconds=CACHED_SECONDS
)


def _keys_of_account(event: str) -> Iterable[_SliceKey]:
    """The account's slices for every combination of roles."""
    user_id = invalidation.account_of(event)
    return [(user_id, tester, reviewer) for tester in (False, True) for reviewer in (False, True)]


_slices.flush_on(invalidation.CATALOG)
_slices.invalidate_on(f"{invalidation.ACCOUNT}*", f"{invalidation.ACCESS}*", keys=_keys_of_account)
_models.flush_on(invalidation.CATALOG)


def forget() -> None:
    """Clear the caches of this process, including roles."""
    _slices.flush()
    _models.flush()
    roles.forget()


# --- Cached look-ups --------------------------------------------------------------------------------------


def models() -> tuple[CatalogModel, ...]:
    """Active models in order."""
    return _models.read("active", lambda _: read_models())


async def amodels() -> tuple[CatalogModel, ...]:
    return await _models.aread("active", lambda _: read_models())


def slices(user_id: int) -> tuple[VoiceSlice, VoiceSlice]:
    """The public voices, and the account's personal ones."""
    own = _key(user_id, roles.of(user_id))
    return (
        _slices.read(PUBLIC, _read),
        _slices.read(own, _read),
    )


async def aslices(user_id: int) -> tuple[VoiceSlice, VoiceSlice]:
    own = _key(user_id, await roles.aof(user_id))
    return (
        await _slices.aread(PUBLIC, _read),
        await _slices.aread(own, _read),
    )


def cached_slices(user_id: int) -> tuple[VoiceSlice, VoiceSlice] | None:
    """`slices` if all of it is cached, otherwise None. Never queries."""
    account_roles = roles.cached(user_id)
    public = _slices.peek(PUBLIC)
    own = _slices.peek(_key(user_id, account_roles)) if account_roles else None
    return (public, own) if public and own else None


async def alist_voices(user_id: int | None) -> list[CatalogVoice]:
    """All voices that the account may use, ordered by rank; for None, the public ones."""
    if user_id is None:
        public = await _slices.aread(PUBLIC, _read)
        return list(public.by_slug.values())
    parts = await aslices(user_id)
    return sorted((voice for part in parts for voice in part.by_slug.values()), key=lambda voice: voice.rank)


def _key(user_id: int, account_roles: Roles) -> _SliceKey:
    return user_id, account_roles.is_tester, account_roles.is_reviewer


# --- Queries (blocking) -----------------------------------------------------------------------------------


def read_models() -> tuple[CatalogModel, ...]:
    """Active models in order. Not cached."""
    return tuple(_model_of(model) for model in TTSModel.objects.filter(is_active=True))


def read_public_voices() -> list[CatalogVoice]:
    """Not cached."""
    return list(_read(PUBLIC).by_slug.values())


def visible(user_id: int | None, account_roles: Roles = NO_ROLES) -> QuerySet[Voice]:
    """Active voices of active models that the account may use, ordered by rank; for None, the public ones."""
    voices = Voice.objects.filter(is_active=True, model__is_active=True).select_related("model")
    return voices.filter(_is_public() | _is_personal(user_id, account_roles)).order_by("model_id", "id")


def _is_public() -> Q:
    return Q(owner=None, approved=True)


def _is_personal(user_id: int | None, account_roles: Roles) -> Q:
    """Owned by the account, or usable by one of its roles. May include public voices."""
    if user_id is None:
        return Q(pk__in=[])
    personal = Q(owner=user_id)
    if account_roles.is_tester:
        shared = Voice.testers.through.objects.filter(user_id=user_id)
        personal |= Q(pk__in=shared.values("voice_id"))
    if account_roles.is_reviewer:
        personal |= Q(approved=False)
    return personal


def _personal(user_id: int, account_roles: Roles) -> QuerySet[Voice]:
    """The voices of SELECT_PERSONAL_IDS."""
    return visible(user_id, account_roles).exclude(_is_public())


def _read(key: _SliceKey) -> VoiceSlice:
    user_id, is_tester, is_reviewer = key
    if user_id is None:
        return _slice(visible(None))
    params = {"user_id": user_id, "is_tester": is_tester, "is_reviewer": is_reviewer}
    # Few accounts have personal voices, and the ORM takes longer than the query: it is used for those only.
    if not fetch_rows(SELECT_PERSONAL_IDS, params):
        return VoiceSlice({})
    return _slice(_personal(user_id, Roles(is_tester, is_reviewer)))


def _slice(voices: Iterable[Voice]) -> VoiceSlice:
    return VoiceSlice({voice.slug: voice for voice in _voices_of(voices)})


def _voices_of(voices: Iterable[Voice]) -> Iterable[CatalogVoice]:
    models: dict[int, CatalogModel] = {}  # voices of one model share its copy
    for voice in voices:
        model = models.setdefault(voice.model_id, _model_of(voice.model))
        yield CatalogVoice(
            id=voice.pk,
            slug=voice.slug,
            name=voice.name,
            language=voice.language,
            gender=voice.gender,
            description=voice.description,
            parameters=msgspec.json.encode(voice.parameters),
            owner_id=voice.owner_id,
            model=model,
        )


def _model_of(model: TTSModel) -> CatalogModel:
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
