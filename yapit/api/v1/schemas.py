"""What goes in and out under /v1. Unknown fields of a request are ignored: clients send their own."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field

from yapit.accounts.keys import LONGEST_NAME
from yapit.accounts.preferences import AccountPreferences
from yapit.catalog.voices import CatalogModel, CatalogVoice
from yapit.documents import LARGEST_INDEX, MAX_CONTENT, VisibleDocument
from yapit.engines import MAX_CHARACTERS
from yapit.models import ApiKey, Block, Section
from yapit.models.accounts import MAX_SPEED, MIN_SPEED
from yapit.models.documents import MAX_TITLE
from yapit.text import estimate_ms

Slug = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9._/-]*$")]


class Request(Schema):
    model_config = ConfigDict(strict=True)


# --- Errors -----------------------------------------------------------------------------------------------


class ErrorDetail(Schema):
    message: str
    type: str
    param: str | None = Field(description="The field that is the matter.")
    code: str = Field(description="For programs: does not change.")


class Error(Schema):
    error: ErrorDetail


# --- Documents --------------------------------------------------------------------------------------------


class NewText(Request):
    content: str = Field(min_length=1, max_length=MAX_CONTENT, examples=["# Hello\n\nThis is *Markdown*."])
    title: str | None = Field(None, max_length=MAX_TITLE, description="None: the first heading or words.")
    markdown: bool = Field(True, description="False: plain text, in which nothing is markup.")


class DocumentChange(Request):
    title: str | None = Field(None, min_length=1, max_length=MAX_TITLE, examples=["A better title"])
    is_public: bool | None = Field(None, description="Anyone who has the address may listen.")


class NewPosition(Request):
    block_idx: int = Field(ge=0, le=LARGEST_INDEX, examples=[12])


class Position(Schema):
    block_idx: int


class LastPosition(Position):
    played_at: datetime | None


class DocumentOut(Schema):
    id: UUID
    object: Literal["document"] = "document"
    title: str
    created: datetime
    updated: datetime
    is_public: bool
    is_owner: bool
    block_count: int
    characters: int = Field(description="That are spoken, in code points.")
    est_duration_ms: int
    position: LastPosition

    @classmethod
    def of(cls, seen: VisibleDocument) -> "DocumentOut":
        document = seen.document
        return cls(
            id=document.pk,
            title=document.title,
            created=document.created,
            updated=document.updated,
            is_public=document.is_public,
            is_owner=seen.is_owner,
            block_count=document.block_count,
            characters=document.characters,
            est_duration_ms=document.est_duration_ms,
            position=LastPosition(block_idx=seen.block_idx, played_at=seen.played_at),
        )


class DocumentList(Schema):
    object: Literal["list"] = "list"
    data: list[DocumentOut]
    total: int


class BlockOut(Schema):
    idx: int
    text: str
    est_duration_ms: int

    @classmethod
    def of(cls, block: Block) -> "BlockOut":
        return cls(idx=block.index, text=block.text, est_duration_ms=estimate_ms(block.text))


class BlockList(Schema):
    object: Literal["list"] = "list"
    data: list[BlockOut]
    total: int


class SectionOut(Schema):
    position: int
    kind: str
    html: str = Field(description="Safe to show: made here, never taken over from the source.")
    first_block: int
    block_count: int = Field(description="0: shown and not spoken.")

    @classmethod
    def of(cls, section: Section) -> "SectionOut":
        return cls(
            position=section.position,
            kind=section.kind,
            html=section.html,
            first_block=section.first_block,
            block_count=section.block_count,
        )


class SectionList(Schema):
    object: Literal["list"] = "list"
    data: list[SectionOut]
    total: int


# --- Models and voices ------------------------------------------------------------------------------------


class ModelOut(Schema):
    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="Seconds since 1970.")
    owned_by: Literal["yapit"] = "yapit"
    name: str
    usage_type: str
    usage_multiplier: float = Field(description="What one character counts for.")

    @classmethod
    def of(cls, model: CatalogModel) -> "ModelOut":
        return cls(
            id=model.slug,
            created=int(model.created.timestamp()),
            name=model.name,
            usage_type=model.usage_type,
            usage_multiplier=model.multiplier_bp / 10_000,
        )


class ModelList(Schema):
    object: Literal["list"] = "list"
    data: list[ModelOut]


class AudioModel(Schema):
    id: str


class AudioModelList(Schema):
    models: list[AudioModel]


class VoiceOut(Schema):
    id: str
    object: Literal["voice"] = "voice"
    name: str
    language: str
    gender: str
    model: str
    description: str
    is_owner: bool

    @classmethod
    def of(cls, voice: CatalogVoice, user_id: int | None) -> "VoiceOut":
        return cls(
            id=voice.slug,
            name=voice.name,
            language=voice.language,
            gender=voice.gender,
            model=voice.model.slug,
            description=voice.description,
            is_owner=voice.owner_id is not None and voice.owner_id == user_id,
        )


class VoiceList(Schema):
    object: Literal["list"] = "list"
    voices: list[VoiceOut]
    data: list[VoiceOut] = Field(description="The same again, for clients that look here.")


class VoiceNames(Schema):
    voices: list[str]


# --- The leaderboard --------------------------------------------------------------------------------------


class VoicePlace(Schema):
    day: date
    kind: Literal["voice"]
    rank: int
    voice: str
    model: str
    characters: int
    listeners: int


class DocumentPlace(Schema):
    day: date
    kind: Literal["document"]
    rank: int
    id: UUID
    title: str
    listeners: int


class Leaderboard(Schema):
    object: Literal["list"] = "list"
    data: list[VoicePlace | DocumentPlace]
    cursor: str | None = Field(description="For `after`; opaque. Null: there was nothing yet.")
    has_more: bool = Field(description="More follows already.")


# --- Speech -----------------------------------------------------------------------------------------------


class NewSpeech(Request):
    text: str = Field(min_length=1, max_length=MAX_CHARACTERS, examples=["Hello there."])
    model: Slug | None = Field(None, description="None: the model of the voice, or the default one.")
    voice: Slug | None = Field(None, description="None: the default one.")


class WordOut(Schema):
    t: str
    s: float = Field(description="Start, in seconds.")
    e: float


class SpeechOut(Schema):
    hash: str
    audio_url: str
    duration_ms: int
    words: list[WordOut] | None = Field(description="null where the voice gives no timings.")
    cached: bool = Field(description="It had been spoken before.")
    model: str
    voice: str


# --- The account ------------------------------------------------------------------------------------------


class Me(Schema):
    id: int
    username: str
    via: Literal["key", "session", "local"]


class Ticket(Schema):
    object: Literal["ticket"] = "ticket"
    ticket: str
    expires_in: int = Field(description="Seconds.")


class Farewell(Request):
    password: str | None = Field(None, max_length=4096, description="Of the account.")
    confirm: str | None = Field(
        None, max_length=150, description="Its name, for an account that has no password."
    )


class NewKey(Request):
    name: str = Field(min_length=1, max_length=LONGEST_NAME, examples=["laptop"])
    expires_in_days: int | None = Field(
        None, ge=1, le=3650, description="None: it holds until it is revoked."
    )


class KeyChange(Request):
    name: str = Field(min_length=1, max_length=LONGEST_NAME, examples=["old laptop"])


class KeyOut(Schema):
    id: str = Field(description="The part of the token that may be shown.")
    object: Literal["api_key"] = "api_key"
    name: str
    created: datetime
    last_used: datetime | None = Field(description="To a minute or so.")
    expires_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> "KeyOut":
        return cls(**cls.fields_of(key))

    @staticmethod
    def fields_of(key: ApiKey) -> dict[str, Any]:
        return {
            "id": key.pk,
            "name": key.name,
            "created": key.created,
            "last_used": key.last_used,
            "expires_at": key.expires_at,
        }


class NewKeyOut(KeyOut):
    token: str = Field(description="Shown this once, and kept nowhere.")


class KeyList(Schema):
    object: Literal["list"] = "list"
    data: list[KeyOut]
    total: int
    limit: int = Field(description="How many an account may have.")


class PreferencesOut(Schema):
    pinned_voices: list[str]
    default_voice: str | None
    default_speed: float
    usage_threshold: int | None

    @classmethod
    def of(cls, preferences: AccountPreferences) -> "PreferencesOut":
        return cls(
            pinned_voices=list(preferences.pinned_voices),
            default_voice=preferences.default_voice or None,
            default_speed=preferences.default_speed,
            usage_threshold=preferences.usage_threshold,
        )


class PreferencesChange(Request):
    """Fields that are left out stay as they are."""

    pinned_voices: list[Slug] = Field([], max_length=500, examples=[["hibari"]])
    default_voice: Slug | None = None
    default_speed: float = Field(1.0, ge=MIN_SPEED, le=MAX_SPEED, allow_inf_nan=False)
    usage_threshold: int | None = Field(
        None, ge=1, le=100, description="Warn when this percentage of the allowance is spent; null: never."
    )
