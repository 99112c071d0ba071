"""Pages of the leaderboard, continued by cursors. Pure.

A cursor holds a day, the number of its rows already sent, and a digest of the day's rows. If the rows of that
day have changed since, all of them are sent again and replace the client's rows of the day.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec

VERSION = 1
LONGEST_CURSOR = 80
ALPHABET = re.compile(r"[A-Za-z0-9_-]+")


class BadCursor(Exception):
    """The text is not a cursor written by this version."""


class Cursor(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: int
    day: date
    seen: int
    digest: str


@dataclass(frozen=True, slots=True)
class Day:
    """A day's rows as JSON, by rank."""

    day: date
    rows: Sequence[bytes]

    @property
    def digest(self) -> str:
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(row + b"\n")
        return digest.hexdigest()[:16]


class _Window(msgspec.Struct, array_like=True):
    days: list[tuple[date, list[bytes]]]


def pack(days: Iterable[Day]) -> bytes:
    """Serialize the days that have rows."""
    return msgspec.msgpack.encode(_Window([(day.day, list(day.rows)) for day in days if day.rows]))


def unpack(packed: bytes) -> list[Day]:
    return [Day(day, rows) for day, rows in msgspec.msgpack.decode(packed, type=_Window).days]


def page(days: Sequence[Day], after: str | None, limit: int) -> bytes:
    """The JSON of the `limit` rows after a cursor; without a cursor, of the newest rows. Raises BadCursor."""
    cursor = None if after is None else read_cursor(after)
    following = [(day, index) for day in days for index in range(_sent(day, cursor), len(day.rows))]
    selected = following[-limit:] if cursor is None else following[:limit]
    if selected:
        last, index = selected[-1]
        after = write_cursor(Cursor(VERSION, last.day, index + 1, last.digest))
    has_more = cursor is not None and len(following) > limit
    return b'{"object":"list","data":[%b],"cursor":%b,"has_more":%b}' % (
        b",".join(day.rows[index] for day, index in selected),
        msgspec.json.encode(after),
        msgspec.json.encode(has_more),
    )


def _sent(day: Day, cursor: Cursor | None) -> int:
    """Number of the day's rows that the client has."""
    if cursor is None or day.day > cursor.day:
        return 0
    if day.day < cursor.day:
        return len(day.rows)
    return cursor.seen if cursor.digest == day.digest else 0


def write_cursor(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).decode().rstrip("=")


def read_cursor(text: str) -> Cursor:
    """Raises BadCursor for anything that write_cursor does not return."""
    if len(text) > LONGEST_CURSOR or not ALPHABET.fullmatch(text):
        raise BadCursor
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        cursor = msgspec.msgpack.decode(packed, type=Cursor)
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadCursor from error
    if cursor.version != VERSION or cursor.seen < 1 or write_cursor(cursor) != text:
        raise BadCursor
    return cursor
