"""Usage events, parsed from entries of the billing stream. Pure; the only module that knows their fields.

Entries come from other processes and are money, so parsing is strict: a field that is missing, negative, too
large or inconsistent is `Unreadable`. The message names the field, never its value, which may be private.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from billing.cost import cost
from billing.errors import Unreadable
from billing.usage_types import LONGEST_FOREIGN_ID, LONGEST_SLUG, UsageType

# Characters times multiplier must fit a BIGINT, or the ledger's own check would overflow.
LARGEST_COUNT = 2**31 - 1
LARGEST_USER = 2**63 - 1
LATEST_MS = 253_370_764_799_999  # the end of 9998: the month of an event must have a next month

SPEECH = "speech"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVENT_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")
_HASH = re.compile(rb"[0-9a-f]{64}")
_UUID = re.compile(rb"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_MOST_DIGITS = 19
_CACHED = 4096  # recent slugs and document ids, which repeat in the next entries


_USAGE_TYPES = {usage_type.value.encode(): usage_type for usage_type in UsageType}


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Usage of one finished job. `id` is the job id, unique in the ledger, so it is charged once."""

    id: str
    user_id: int
    characters: int
    multiplier_bp: int
    cost: int
    usage_type: UsageType
    billable: bool
    hash: str
    model: str
    voice: str
    document: UUID | None
    duration_ms: int
    occurred_at: datetime
    api_key: str | None = None  # public id of the key that caused it; earlier entries do not have the field
    kind: str = SPEECH  # of the job

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> "UsageEvent":
        """Parse a stream entry. Raises Unreadable."""
        event = cls(
            id=_matching(fields, b"id", _EVENT_ID),
            user_id=_number(fields, b"user", least=1, most=LARGEST_USER),
            characters=_number(fields, b"chars"),
            multiplier_bp=_number(fields, b"multiplier_bp"),
            cost=_number(fields, b"cost", most=LARGEST_USER),
            usage_type=_usage_type(fields),
            billable=_number(fields, b"billable", most=1) == 1,
            hash=_matching(fields, b"hash", _HASH),
            model=_slug(fields, b"model"),
            voice=_slug(fields, b"voice"),
            document=_document(fields),
            duration_ms=_number(fields, b"duration_ms"),
            occurred_at=_EPOCH + timedelta(milliseconds=_number(fields, b"created_ms", most=LATEST_MS)),
            api_key=_api_key(fields.get(b"api_key")),
            kind=_slug(fields, b"kind") if b"kind" in fields else SPEECH,
        )
        if event.cost != cost(event.characters, event.multiplier_bp):
            raise Unreadable("cost: is not chars times multiplier_bp, rounded up")
        return event


def _raw(fields: Mapping[bytes, bytes], name: bytes) -> bytes:
    try:
        return fields[name]
    except KeyError:
        raise Unreadable(f"{name.decode()}: missing") from None


def _number(fields: Mapping[bytes, bytes], name: bytes, *, least: int = 0, most: int = LARGEST_COUNT) -> int:
    raw = _raw(fields, name)
    if not raw.isdigit() or len(raw) > _MOST_DIGITS or (raw[:1] == b"0" and raw != b"0"):
        raise Unreadable(f"{name.decode()}: not a whole number from 0 up")
    if not least <= (value := int(raw)) <= most:
        raise Unreadable(f"{name.decode()}: not between {least} and {most}")
    return value


def _matching(fields: Mapping[bytes, bytes], name: bytes, form: re.Pattern[bytes]) -> str:
    """An ASCII value that matches the whole pattern."""
    raw = _raw(fields, name)
    if not form.fullmatch(raw):
        raise Unreadable(f"{name.decode()}: not of the expected form")
    return raw.decode()


def _slug(fields: Mapping[bytes, bytes], name: bytes) -> str:
    if (slug := _slug_of(_raw(fields, name))) is None:
        raise Unreadable(f"{name.decode()}: not 1 to {LONGEST_SLUG} printable characters")
    return slug


@lru_cache(_CACHED)
def _slug_of(raw: bytes) -> str | None:
    """Any printable text: remote servers choose the names of their models and voices."""
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        return None
    return value if value and len(value) <= LONGEST_SLUG and value.isprintable() else None


@lru_cache(_CACHED)
def _api_key(raw: bytes | None) -> str | None:
    """None for a missing or empty field: no key caused the usage, or the entry has no such field."""
    if not raw:
        return None
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        value = ""
    if not value.isprintable() or not 1 <= len(value) <= LONGEST_FOREIGN_ID:
        raise Unreadable(f"api_key: not up to {LONGEST_FOREIGN_ID} printable characters")
    return value


def _usage_type(fields: Mapping[bytes, bytes]) -> UsageType:
    try:
        return _USAGE_TYPES[_raw(fields, b"usage_type")]
    except KeyError:
        raise Unreadable("usage_type: unknown") from None


def _document(fields: Mapping[bytes, bytes]) -> UUID | None:
    return _uuid_of(_matching(fields, b"document", _UUID)) if _raw(fields, b"document") else None


_uuid_of = lru_cache(_CACHED)(UUID)
