"""What an engine is: text in, a finished Ogg Opus file with word timings out.

Imports no Django and nothing heavy: workers run without a database and without secrets, and web processes ask
for an engine's identity and voices without loading its model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import NamedTuple, Protocol, cast

MEDIA_TYPE = "audio/ogg"
MAX_CHARACTERS = 5000  # of one call; blocks are far shorter


class EngineError(Exception):
    """This text cannot be spoken: final, not to be tried again. The message never contains the text."""

    def __init__(self, message: str, code: str = "engine_failed") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Speech:
    """A complete audio file, or b"" when there is nothing to say; words in order, inside the duration."""

    audio: bytes
    duration_ms: int
    words: tuple[Word, ...]
    media_type: str = MEDIA_TYPE


SILENCE = Speech(b"", 0, ())


@dataclass(frozen=True, slots=True)
class VoiceSpec:
    """A voice to seed. Its parameters are what the engine takes them to be when a request names none."""

    slug: str
    name: str
    language: str
    gender: str
    parameters: Mapping[str, object] = field(default_factory=dict)


class Engine(Protocol):
    """Made cheaply; the model is loaded by warm() or the first synthesize(). One call at a time."""

    slug: str
    revision: str  # changes when the same input would sound different
    codec: str

    def __init__(self, slug: str) -> None: ...

    @classmethod
    def voices(cls) -> tuple[VoiceSpec, ...]: ...

    def warm(self) -> None:
        """Load and speak once, so that the first listener does not wait for it. Repeatable."""

    def synthesize(self, text: str, *, voice: str, parameters: Mapping[str, object]) -> Speech:
        """Raise EngineError when this text, voice or parameter can never be spoken."""


class EngineIdentity(NamedTuple):
    """The engine's share of a variant hash."""

    revision: str
    codec: str


def engine_class(dotted_path: str) -> type[Engine]:
    module, _, name = dotted_path.rpartition(".")
    return cast(type[Engine], getattr(import_module(module), name))


def load_engine(slug: str, dotted_path: str) -> Engine:
    return engine_class(dotted_path)(slug)


@cache
def engine_identity(dotted_path: str) -> EngineIdentity:
    engine = load_engine("", dotted_path)
    return EngineIdentity(engine.revision, engine.codec)


def check_text(text: str) -> None:
    """Refuse what no engine can take and no header can carry."""
    if len(text) > MAX_CHARACTERS:
        raise EngineError(f"more than {MAX_CHARACTERS} characters at once", "text_too_long")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EngineError("the text is not valid Unicode", "bad_text") from None
