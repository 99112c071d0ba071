"""Streams of engines: reads one to its end and detects those that are empty or incomplete."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from yapit.engines.contract import Chunk, EncodedFile, End, EngineError, SpeechItem, Word

MAX_SECONDS = 1800  # of audio in one stream, which is kept in memory


class BrokenStream(Exception):
    """A stream that did not end as the contract says. Another attempt may succeed."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class SpokenText:
    """A complete stream: chunks, or a finished file, or neither for a text without sound."""

    chunks: list[Chunk] = field(default_factory=list)
    file: EncodedFile | None = None
    words: list[Word] = field(default_factory=list)


def read_stream(items: Iterable[SpeechItem]) -> SpokenText:
    """Read until END. Raises BrokenStream, EngineError, and what the engine raises before the first item."""
    spoken = SpokenText()
    seconds = 0.0
    is_begun = False
    try:
        for item in items:
            match item:
                case End():
                    return spoken
                case EncodedFile():
                    spoken.file = item
                case Chunk():
                    spoken.chunks.append(item)
                    seconds += len(item.samples) / item.sample_rate
            spoken.words += item.words
            is_begun = True
            if seconds > MAX_SECONDS:
                raise EngineError("the audio does not end", "audio_too_large")
    except EngineError:
        raise
    except Exception as error:
        if is_begun:
            raise BrokenStream("engine_incomplete") from error
        raise
    raise BrokenStream("engine_incomplete" if is_begun else "engine_empty")
