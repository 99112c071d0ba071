"""ToneEngine: test tones of the length of speech, for tests, drills and load. Delays and fails on request.

Deterministic: depends on the text and the parameters only, not on the environment or the clock.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from re import finditer
from typing import Annotated, Literal

from msgspec import Meta

from yapit.audio import ogg, opus
from yapit.engines.contract import SILENCE, EngineError, Speech, VoiceSpec, Word, check_text
from yapit.engines.encoding import encode
from yapit.engines.parameters import EngineOptions, parse_parameters

EXIT_STATUS = 70
LONGEST_MS = 600_000
NOISE_SECONDS = 20  # duration of an `instant` file of the usual size
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
    fail: Literal["", "raise", "hang", "die", "nothing", "garbage"] = ""
    fail_rate: Annotated[float, Meta(ge=0, le=1)] = 1.0
    bytes: Annotated[int, Meta(ge=4_000, le=16 * 1024 * 1024)] = 100_000  # of `instant` files, within 5 %


class ToneEngine:
    revision = "tone-1"
    codec = opus.CODEC

    def __init__(self, slug: str) -> None:
        self.slug = slug

    @classmethod
    def voices(cls) -> tuple[VoiceSpec, ...]:
        return VOICES

    def warm(self) -> None:
        for voice in VOICES:
            self.synthesize("Warm.", voice=voice.slug, parameters={"delay_ms": 0})

    def synthesize(self, text: str, *, voice: str, parameters: Mapping[str, object]) -> Speech:
        if voice not in DEFAULTS:
            raise EngineError("no such voice", "unknown_voice")
        check_text(text)
        options = parse_parameters(ToneOptions, DEFAULTS[voice], parameters)
        if options.delay_ms:  # sleep(0) costs more than the audio of `instant`
            time.sleep(options.delay_ms / 1000)
        digest = hashlib.sha256(text.encode()).digest()
        if options.fail and int.from_bytes(digest[-4:]) < options.fail_rate * 2**32:
            return FAILURES[options.fail]()
        if not text.strip():
            return SILENCE
        if voice == "instant":
            return _instant(text, digest, options.bytes)
        return _sine(text, digest, options.ms_per_character)


def _raise() -> Speech:
    raise EngineError("failure requested")


def _hang() -> Speech:
    while True:
        time.sleep(60)


def _die() -> Speech:
    os._exit(EXIT_STATUS)


def _nothing() -> Speech:
    return SILENCE


def _garbage() -> Speech:
    return Speech(b"this is not audio", 1000, ())


FAILURES: dict[str, Callable[[], Speech]] = {
    "raise": _raise,
    "hang": _hang,
    "die": _die,
    "nothing": _nothing,
    "garbage": _garbage,
}


def _sine(text: str, digest: bytes, ms_per_character: int) -> Speech:
    import numpy as np

    duration_ms = min(len(text) * ms_per_character, LONGEST_MS)
    hertz = 220 + int.from_bytes(digest[:2]) % 660  # depends on the text
    second = np.arange(opus.SAMPLE_RATE) * (2 * np.pi * hertz / opus.SAMPLE_RATE)
    samples = np.resize((0.3 * np.sin(second)).astype(np.float32), opus.SAMPLE_RATE * duration_ms // 1000)
    return Speech(encode(samples), duration_ms, _words(text, duration_ms))


def _instant(text: str, digest: bytes, size: int) -> Speech:
    """Noise, generated once per size. The comment holds the text's digest: mixed-up files are found."""
    head, rest, duration_ms = _noise(size)
    audio = b"".join((head, ogg.tags_page(0, f"TEXT_SHA256={digest.hex()}"), rest))
    return Speech(audio, duration_ms, _words(text, duration_ms))


@lru_cache(maxsize=8)
def _noise(size: int) -> tuple[bytes, bytes, int]:
    """First page, pages after the tags, and duration in milliseconds of a file of about `size` bytes."""
    import numpy as np

    bit_rate = min(max(size * 8 // NOISE_SECONDS, 32_000), 256_000)
    count = size * 8 * opus.SAMPLE_RATE // bit_rate
    noise = np.random.default_rng(1).standard_normal(count, dtype=np.float32) * np.float32(0.1)
    first, _, *rest = ogg.pages(encode(noise, bit_rate=bit_rate, complexity=0, constant=True))
    return first.encoded(), b"".join(page.encoded() for page in rest), opus.milliseconds(count)


def _words(text: str, duration_ms: int) -> tuple[Word, ...]:
    scale = duration_ms / len(text)
    return tuple(
        Word(match.group(), int(match.start() * scale), int(match.end() * scale))
        for match in finditer(r"\S+", text)
    )
