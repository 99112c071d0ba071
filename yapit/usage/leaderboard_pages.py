"""Cuts the leaderboard into pages, each from where the one before ended. Pure.

A cursor names a day, how many of its rows were seen, and a digest of what they were. A day that is not over
changes: its rows are sent again then, all of them, and replace what the client has of that day.
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
    """Not one of ours."""


class Cursor(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    version: int
    day: date
    seen: int
    digest: str


@dataclass(frozen=True, slots=True)
class Day:
    """Rows as they are sent, in their order."""

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
    """Those that have rows, the newest last."""
    return msgspec.msgpack.encode(_Window([(day.day, list(day.rows)) for day in days if day.rows]))


def unpack(packed: bytes) -> list[Day]:
    return [Day(day, rows) for day, rows in msgspec.msgpack.decode(packed, type=_Window).days]


def page(days: Sequence[Day], after: str | None, limit: int) -> bytes:
    """The JSON of what follows a cursor; without one, of the newest rows. Raises BadCursor."""
    cursor = None if after is None else read_cursor(after)
    following = [(day, seen) for day in days for seen in range(_seen(day, cursor), len(day.rows))]
    chosen = following[-limit:] if cursor is None else following[:limit]
    if chosen:
        last, seen = chosen[-1]
        after = write_cursor(Cursor(VERSION, last.day, seen + 1, last.digest))
    has_more = cursor is not None and len(following) > limit
    return b'{"object":"list","data":[%b],"cursor":%b,"has_more":%b}' % (
        b",".join(day.rows[index] for day, index in chosen),
        msgspec.json.encode(after),
        msgspec.json.encode(has_more),
    )


def _seen(day: Day, cursor: Cursor | None) -> int:
    if cursor is None or day.day > cursor.day:
        return 0
    if day.day < cursor.day:
        return len(day.rows)
    return cursor.seen if cursor.digest == day.digest else 0


def write_cursor(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).decode().rstrip("=")


def read_cursor(text: str) -> Cursor:
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
