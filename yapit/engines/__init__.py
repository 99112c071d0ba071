"""Text-to-speech engines: the contract and the registry. Each engine is a subpackage.

Importing this package loads no engine; importing an engine's package loads no model.
"""

from yapit.engines.contract import (
    END,
    MAX_CHARACTERS,
    Capabilities,
    Chunk,
    EncodedFile,
    End,
    Engine,
    EngineError,
    SpeechItem,
    VoiceSpec,
    Word,
    check_text,
)
from yapit.engines.options import EngineOptions, parse_options, split_speed
from yapit.engines.registry import engine_class, load_engine
from yapit.engines.stream import BrokenStream, SpokenText, read_stream

__all__ = [
    "END",
    "MAX_CHARACTERS",
    "BrokenStream",
    "Capabilities",
    "Chunk",
    "EncodedFile",
    "End",
    "Engine",
    "EngineError",
    "EngineOptions",
    "SpeechItem",
    "SpokenText",
    "VoiceSpec",
    "Word",
    "check_text",
    "engine_class",
    "hibari",
    "load_engine",
    "parse_options",
    "read_stream",
    "split_speed",
    "tone",
]
