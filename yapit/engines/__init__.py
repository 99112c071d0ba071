"""Engines turn text into speech with word times: contract and registry. One folder for each engine."""

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
    engine_class,
    engine_identity,
    load_engine,
)

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
    "load_engine",
]
