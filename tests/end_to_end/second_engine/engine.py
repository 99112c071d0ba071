"""A second engine and all that one needs: pulses of a pitch from the settings, several calls at once.

A text that begins with "Together" is spoken only while as many others are as the engine takes at once.
"""

import threading
from collections.abc import Iterator, Mapping

import numpy as np

from yapit.engines import (
    END,
    Capabilities,
    Chunk,
    EngineError,
    EngineOptions,
    SpeechItem,
    VoiceSpec,
    Word,
    check_text,
    parse_options,
)

SAMPLE_RATE = 16_000
SILENCE = np.zeros(SAMPLE_RATE // 4, np.int16)
PATIENCE = 20.0  # seconds


class PulseOptions(EngineOptions, frozen=True):
    loudness: float = 0.05


class PulseEngine:
    def __init__(self, slug: str, *, hertz: int, concurrency: int = 1) -> None:
        self.slug = slug
        self.hertz = hertz
        self.capabilities = Capabilities(
            languages=frozenset({"en", "de"}), word_timings=True, streams=True, concurrency=concurrency
        )
        self._together = threading.Barrier(concurrency)

    @property
    def revision(self) -> str:
        return f"pulse-1-{self.hertz}"  # the pitch is heard, the concurrency is not

    def check(self) -> str | None:
        return None if self.hertz < SAMPLE_RATE / 2 else f"{self.hertz} Hz is too high for the sample rate."

    def voices(self) -> tuple[VoiceSpec, ...]:
        return (VoiceSpec("pulse-low", "Low pulse", "de", "none"),)

    def warm(self) -> None:
        pass

    def synthesize(self, text: str, voice: str, options: Mapping[str, object]) -> Iterator[SpeechItem]:
        check_text(text)
        if voice != "pulse-low":
            raise EngineError("no such voice", "unknown_voice")
        loudness = parse_options(PulseOptions, options).loudness
        if text.startswith("Together"):
            self._together.wait(PATIENCE)
        yield Chunk(SILENCE, SAMPLE_RATE)
        for number, word in enumerate(text.split()):
            start = 250 + 200 * number
            yield Chunk(self._pulse(loudness), SAMPLE_RATE, (Word(word, start, start + 200),))
        yield Chunk(SILENCE, SAMPLE_RATE)
        yield END

    def _pulse(self, loudness: float) -> np.ndarray:
        angles = np.arange(SAMPLE_RATE // 5) * (2 * np.pi * self.hertz / SAMPLE_RATE)
        return (loudness * 32767 * np.sin(angles)).astype(np.int16)
