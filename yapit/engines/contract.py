"""Engine contract: text in, PCM and word times out. No encoding, no silence handling, no HTTP.

Imports neither Django nor numpy: workers run without a database and without secrets, and web processes read
the identity and the voices of an engine without loading its model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CHARACTERS = 5000  # of one call; blocks are far shorter


class EngineError(Exception):
    """A text, voice or option that the engine can never speak. The message does not contain the text."""

    def __init__(self, message: str, code: str = "engine_failed") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Word:
    """The time of one word, in milliseconds from the beginning of the PCM."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A piece of the speech: mono samples, float32 (-1..1) or int16, and the words that are known now.

    The sample rate is the same in all chunks of a text.
    """

    samples: "NDArray[Any]"
    sample_rate: int  # Hz
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """The whole speech as a finished file in canonical form, from engines with the capability `encoded`."""

    audio: bytes
    words: tuple[Word, ...] = ()


class End:
    """The type of END."""


END = End()  # the last item of every complete stream
SpeechItem = Chunk | EncodedFile | End


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Abilities of an instance that callers rely on. `concurrency` and `batch` are limits of one instance."""

    languages: frozenset[str]  # BCP 47 tags; empty: any
    word_timings: bool = False
    speed: bool = False  # takes the option `speed`; otherwise the audio room stretches the PCM
    instructions: bool = False  # takes the option `instructions`
    streams: bool = False  # yields chunks before the whole text has been spoken
    concurrency: int = 1  # calls of `synthesize` at once: 1 for a local model, tens for a remote one
    batch: int = 1  # texts in one call
    encoded: bool = False  # yields an EncodedFile instead of chunks


@dataclass(frozen=True, slots=True)
class VoiceSpec:
    """A voice to seed, with its default options."""

    slug: str
    name: str
    language: str
    gender: str
    parameters: Mapping[str, object] = field(default_factory=dict)


class Engine(Protocol):
    """One configured instance of an engine, constructed with its slug and the options in ENGINES.

    Cheap to construct, also in processes that only need its identity: a constructor imports nothing heavy and
    opens no connection. The model is loaded by `warm` or the first `synthesize`.

    `revision` is part of each variant hash: it changes whenever the same input would sound different, be it
    by a new model, by changed code or by other options of the instance, and only then, since stored audio of
    another revision is not used any more. It is the same on all machines and in all processes.
    """

    slug: str
    capabilities: Capabilities

    @property
    def revision(self) -> str: ...

    def check(self) -> str | None:
        """A sentence that says what is missing on this machine; None if the engine can be used.

        Called before all else but the constructor, also in processes that run no engine.
        """

    def voices(self) -> tuple[VoiceSpec, ...]:
        """The voices that can be spoken on this machine."""

    def warm(self) -> None:
        """Load the model and speak once, before the first job. Repeatable."""

    def synthesize(self, text: str, voice: str, options: Mapping[str, object]) -> Iterator[SpeechItem]:
        """Speak one text: chunks in order, or one EncodedFile, and END after the last one.

        END alone says that the text has no sound. Workers make `capabilities.concurrency` calls at once, in
        threads, and expect one of these ends, each with a code of its own:

        - END: the speech is complete.
        - EngineError with its code: no attempt can ever succeed.
        - Any other exception before the first item: `engine_failed`, and the job is tried again.
        - No item at all: `engine_empty`, the same.
        - Items without END, or an exception after an item: `engine_incomplete`, the same.
        - No return before the deadline of the job, which is the worker's: `engine_hung`.
        """


def check_text(text: str) -> None:
    """Raise EngineError for a text that is too long or cannot be encoded as UTF-8."""
    if len(text) > MAX_CHARACTERS:
        raise EngineError(f"more than {MAX_CHARACTERS} characters at once", "text_too_long")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise EngineError("the text is not valid Unicode", "bad_text") from None
