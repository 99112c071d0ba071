"""Engine contract: text in, a finished Ogg Opus file with word times out.

Imports neither Django nor numpy: workers run without a database and without secrets, and web processes read
the identity and the voices of an engine without loading its model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

MEDIA_TYPE = "audio/ogg"
MAX_CHARACTERS = 5000  # of one call; blocks are far shorter


class EngineError(Exception):
    """A text, voice or parameter that the engine can never speak. The message does not contain the text."""

    def __init__(self, message: str, code: str = "engine_failed") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Word:
    """The time of one word, in milliseconds from the beginning of the audio."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Speech:
    """The result of one call: a complete file (b"" for a text without sound) and the words in order."""

    audio: bytes
    duration_ms: int
    words: tuple[Word, ...]
    media_type: str = MEDIA_TYPE


SILENCE = Speech(b"", 0, ())


@dataclass(frozen=True, slots=True)
class VoiceSpec:
    """A voice to seed, with its default parameters."""

    slug: str
    name: str
    language: str
    gender: str
    parameters: Mapping[str, object] = field(default_factory=dict)


class Engine(Protocol):
    """A text-to-speech engine. Cheap to construct: the model is loaded by `warm` or the first `synthesize`.

    Workers call one method at a time.
    """

    slug: str
    revision: str  # part of the variant hash: changes whenever the same input sounds different
    codec: str

    def __init__(self, slug: str) -> None: ...

    @classmethod
    def voices(cls) -> tuple[VoiceSpec, ...]:
        """The voices that can be spoken on this machine."""

    def warm(self) -> None:
        """Load the model and speak once, before the first job. Repeatable."""

    def synthesize(self, text: str, *, voice: str, parameters: Mapping[str, object]) -> Speech:
        """Speak one text. Raises EngineError where repeating the call would be pointless."""


class EngineIdentity(NamedTuple):
    """The parts of a variant hash that come from the engine."""

    revision: str
    codec: str


def check_text(text: str) -> None:
    """Raise EngineError for a text that is too long or cannot be encoded as UTF-8."""
    if len(text) > MAX_CHARACTERS:
        raise EngineError(f"more than {MAX_CHARACTERS} characters at once", "text_too_long")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EngineError("the text is not valid Unicode", "bad_text") from None
