"""Dead letters: entries that could not be handled. Listed, replayed and dropped by commands and admin pages.

    waiting(redis)                        -> {stream: number of letters}
    letters(redis, "billing", count=50)   -> [Letter, ...], newest first; `before` an id: the next page
    letter(redis, "billing", id)          -> Letter | None
    replay(redis, "billing", ids)         -> number replayed; a letter that is gone counts as 0
    drop(redis, "billing", ids)           -> number dropped

All are repeatable. Of several concurrent calls, one acts on each letter: the script that deletes a letter
also applies its consequences. `jobs` is not a stream but the jobs that were given up; the others are the
streams of consumers.

Private fields of an entry (spoken text) stay sealed: a replay needs them, and no function here returns them.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string
from redis import Redis

from config.redis.scripts import Argument, Script, run_all

SEALED = b"sealed:"  # in front of the names of private fields
OWN_FIELDS = frozenset({b"entry", b"reason", b"acknowledge_args"})
# Names and codes. A malformed entry may hold anything, so values must match SAFE_VALUE as well.
SHOWN = (
    *("id", "kind", "queue", "key", "hash", "user", "api_key", "model", "voice", "document", "chars", "cost"),
    *("multiplier_bp", "usage_type", "billable", "duration_ms", "created_ms", "attempts", "size", "outcome"),
    *("detail", "alias", "worker", "at_ms"),
)
ID = re.compile(r"[0-9]{1,15}-[0-9]{1,15}")
SAFE_VALUE = re.compile(r"[\w.:+-]{0,128}")
TEXT_KEPT_MS = 8 * 86400 * 1000
HOLD_TEXT = ("jobs", "persist")  # letters with spoken text, dropped after TEXT_KEPT_MS

# KEYS: dead letters, stream   ARGV: id of the letter   args: those that `on_acknowledge` was given
_REPLAY = """
local letter = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not letter then return 0 end
local entry, args = {}, {}
for i = 1, #letter[2], 2 do
  local name, value = letter[2][i], letter[2][i + 1]
  if name == 'acknowledge_args' then
    args = cjson.decode(value)
  elseif name ~= 'entry' and name ~= 'reason' then
    entry[#entry + 1] = string.gsub(name, '^sealed:', '')
    entry[#entry + 1] = value
  end
end
local replayed = redis.call('XADD', KEYS[2], '*', unpack(entry)) -- first: a full Redis refuses it
redis.call('XDEL', KEYS[1], ARGV[1])
if #args > 0 then
%s
end
return 1
"""


def replay_script(undo: str = "") -> Script:
    """A script that replays a letter. `undo` is Lua that reverses `Handler.on_acknowledge`, with its `args`.

    `undo` does not run for an unreadable entry, since `on_acknowledge` did not run for it. It finds the id of
    the new entry in `replayed`.
    """
    return Script(_REPLAY % undo)


REPLAY = replay_script()


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `shown` holds the fields that are safe to display, `hidden` counts the others."""

    stream: str
    id: str
    reason: str
    created_at: datetime
    shown: Mapping[str, str]
    hidden: int

    @property
    def attempts(self) -> str:
        return self.shown.get("attempts", "")


class UnknownStream(ValueError):
    """No stream of that name has dead letters."""


def streams() -> list[str]:
    return list(settings.DEAD_LETTERS)


def is_id(text: str) -> bool:
    return ID.fullmatch(text) is not None


def waiting(redis: Redis) -> dict[str, int]:
    with redis.pipeline(transaction=False) as pipe:
        for stream in streams():
            pipe.xlen(_key(stream))
        return dict(zip(streams(), pipe.execute(), strict=True))


def letters(redis: Redis, stream: str, *, before: str = "", count: int = 100) -> list[Letter]:
    """Letters, newest first. `before` is the last id of the previous page."""
    raw: Any = redis.xrevrange(_key(stream), max=f"({before}" if before else "+", count=count)
    return [_read(stream, *item) for item in raw]


def letter(redis: Redis, stream: str, letter_id: str) -> Letter | None:
    raw: Any = redis.xrange(_key(stream), min=letter_id, max=letter_id)
    return _read(stream, *raw[0]) if raw else None


def replay(redis: Redis, stream: str, ids: Iterable[str]) -> int:
    script: Script = import_string(settings.DEAD_LETTERS[_known(stream)])
    calls = [script.call(letter_id, keys=[_key(stream), stream]) for letter_id in ids]
    answers = run_all(redis, calls)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return sum(int(answer) for answer in answers)


def drop(redis: Redis, stream: str, ids: Iterable[str]) -> int:
    chosen = list(ids)
    return int(redis.xdel(_key(stream), *chosen)) if chosen else 0


def all_ids(redis: Redis, stream: str) -> list[str]:
    """Ids of all letters of a stream, oldest first."""
    raw: Any = redis.xrange(_key(stream))
    return [letter_id.decode() for letter_id, _ in raw]


def trim(redis: Redis) -> int:
    """Drop letters with text after eight days and return their number. Letters about money stay.

    Called by the scheduler.
    """
    seconds, _ = redis.time()
    oldest = int(seconds) * 1000 - TEXT_KEPT_MS
    return sum(int(redis.xtrim(_key(stream), minid=oldest, approximate=False)) for stream in HOLD_TEXT)


def compose(
    fields: Mapping[bytes, bytes],
    private: frozenset[bytes],
    *,
    entry: bytes,
    reason: str,
    acknowledge_args: Sequence[Argument],
) -> list[Argument]:
    """The fields of a new letter, names and values in turn. Seals the entry's private fields."""
    kept = {SEALED + name if name in private else name: value for name, value in fields.items()}
    args = [part.decode() if isinstance(part, bytes) else str(part) for part in acknowledge_args]
    own = {b"entry": entry, b"reason": reason.encode(), b"acknowledge_args": json.dumps(args).encode()}
    return [part for pair in {**kept, **own}.items() for part in pair]


def _read(stream: str, letter_id: bytes, fields: Mapping[bytes, bytes]) -> Letter:
    texts = {name: fields.get(name.encode(), b" ").decode(errors="replace") for name in SHOWN}
    shown = {name: text for name, text in texts.items() if SAFE_VALUE.fullmatch(text)}
    return Letter(
        stream=stream,
        id=letter_id.decode(),
        reason=fields.get(b"reason", b"").decode(errors="replace"),
        created_at=datetime.fromtimestamp(int(letter_id.partition(b"-")[0]) / 1000, UTC),
        shown=shown,
        hidden=len(fields.keys() - OWN_FIELDS) - len(shown),
    )


def _known(stream: str) -> str:
    if stream not in settings.DEAD_LETTERS:
        raise UnknownStream(stream)
    return stream


def _key(stream: str) -> str:
    return f"dead:{_known(stream)}"
