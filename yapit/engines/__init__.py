"""Text-to-speech engines: the contract and the registry. Each engine is a subpackage.

Importing this package loads no engine; importing an engine's package loads no model.
"""

from yapit.engines.contract import (
    MAX_CHARACTERS,
    MEDIA_TYPE,
    SILENCE,
    Engine,
    EngineError,
    EngineIdentity,
    Speech,
    VoiceSpec,
    Word,
    check_text,
)
from yapit.engines.registry import engine_class, engine_identity, load_engine

__all__ = [
    "MAX_CHARACTERS",
    "MEDIA_TYPE",
    "SILENCE",
    "Engine",
    "EngineError",
    "EngineIdentity",
    "Speech",
    "VoiceSpec",
    "Word",
    "check_text",
    "engine_class",
    "engine_identity",
    "hibari",
    "load_engine",
    "tone",
]
