"""ToneEngine: test tones of the length of speech, for tests, drills and load. Delays and fails on request.

Deterministic: depends on the text and the options only, not on the environment or the clock.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from re import finditer
from typing import Annotated, Literal

from msgspec import Meta

from yapit.engines.contract import (
    END,
    Capabilities,
    Chunk,
    EncodedFile,
    EngineError,
    SpeechItem,
    VoiceSpec,
    Word,
    check_text,
)
from yapit.engines.options import EngineOptions, parse_options

EXIT_STATUS = 70
LONGEST_MS = 600_000
SAMPLE_RATE = 24_000
VOICES = (
    VoiceSpec("sine", "Sine", "en-US", "none"),
    VoiceSpec("instant", "Instant noise", "en-US", "none", {"bytes": 100_000}),
    VoiceSpec("slow", "Slow sine", "en-US", "none", {"delay_ms": 500}),
)
DEFAULTS = {voice.slug: voice.parameters for voice in VOICES}


class ToneOptions(EngineOptions, frozen=True):
    """`fail` applies to the share `fail_rate` of all texts, always to the same ones."""

    delay_ms: Annotated[int, Meta(ge=0, le=600_000)] = 0
    ms_per_character: Annotated[int, Meta(ge=1, le=1000)] = 71  # 14 characters a second
    fail: Literal["", "raise", "hang", "die", "nothing", "empty", "half", "garbage"] = ""
    fail_rate: Annotated[float, Meta(ge=0, le=1)] = 1.0
    bytes: Annotated[int, Meta(ge=4_000, le=16 * 1024 * 1024)] = 100_000  # of `instant` files, within 5 %


class ToneEngine:
    """The voice `instant` yields finished files, so that load tests measure all but the synthesis."""

    revision = "tone-1"
    capabilities = Capabilities(languages=frozenset(), word_timings=True, encoded=True)

    def __init__(self, slug: str) -> None:
        self.slug = slug

    def check(self) -> str | None:
        return None

    def voices(self) -> tuple[VoiceSpec, ...]:
        return VOICES

    def warm(self) -> None:
        for voice in VOICES:
            for _ in self.synthesize("Warm.", voice.slug, {"delay_ms": 0}):
                pass

    def synthesize(self, text: str, voice: str, options: Mapping[str, object]) -> Iterator[SpeechItem]:
        if voice not in DEFAULTS:
            raise EngineError("no such voice", "unknown_voice")
        check_text(text)
        chosen = parse_options(ToneOptions, DEFAULTS[voice], options)
        if chosen.delay_ms:  # sleep(0) costs more than the audio of `instant`
            time.sleep(chosen.delay_ms / 1000)
        digest = hashlib.sha256(text.encode()).digest()
        if chosen.fail and int.from_bytes(digest[-4:]) < chosen.fail_rate * 2**32:
            yield from FAILURES[chosen.fail](text)
            return
        if text.strip():
            yield _noise(text, digest, chosen.bytes) if voice == "instant" else _sine(text, digest, chosen)
        yield END


def _raise(text: str) -> Iterator[SpeechItem]:
    raise EngineError("failure requested")


def _hang(text: str) -> Iterator[SpeechItem]:
    while True:
        time.sleep(60)


def _die(text: str) -> Iterator[SpeechItem]:
    os._exit(EXIT_STATUS)


def _nothing(text: str) -> Iterator[SpeechItem]:
    yield END


def _empty(text: str) -> Iterator[SpeechItem]:
    yield from ()


def _half(text: str) -> Iterator[SpeechItem]:
    import numpy as np

    yield Chunk(np.full(SAMPLE_RATE, 0.1, np.float32), SAMPLE_RATE)


def _garbage(text: str) -> Iterator[SpeechItem]:
    yield EncodedFile(b"this is not audio")
    yield END


FAILURES: dict[str, Callable[[str], Iterator[SpeechItem]]] = {
    "raise": _raise,
    "hang": _hang,
    "die": _die,
    "nothing": _nothing,
    "empty": _empty,
    "half": _half,
    "garbage": _garbage,
}


def _sine(text: str, digest: bytes, options: ToneOptions) -> Chunk:
    import numpy as np

    duration_ms = min(len(text) * options.ms_per_character, LONGEST_MS)
    hertz = 220 + int.from_bytes(digest[:2]) % 660  # depends on the text
    second = np.arange(SAMPLE_RATE) * (2 * np.pi * hertz / SAMPLE_RATE)
    samples = np.resize((0.3 * np.sin(second)).astype(np.float32), SAMPLE_RATE * duration_ms // 1000)
    return Chunk(samples, SAMPLE_RATE, _words(text, duration_ms))


def _noise(text: str, digest: bytes, size: int) -> EncodedFile:
    from yapit.engines.tone.noise import noise_file

    audio, duration_ms = noise_file(size, f"TEXT_SHA256={digest.hex()}")
    return EncodedFile(audio, _words(text, duration_ms))


def _words(text: str, duration_ms: int) -> tuple[Word, ...]:
    scale = duration_ms / len(text)
    return tuple(
        Word(match.group(), int(match.start() * scale), int(match.end() * scale))
        for match in finditer(r"\S+", text)
    )
