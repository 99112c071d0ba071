"""Calls engines in tests: streams read to their end, their samples in one array, and checks of word times."""

from dataclasses import dataclass

import numpy as np

from yapit.engines import SpokenText, read_stream


@dataclass(frozen=True)
class RawSpeech:
    """The output of an engine: samples at `rate` and the words."""

    samples: np.ndarray
    rate: int
    words: tuple
    audio: bytes = b""

    @property
    def duration_ms(self):
        return round(self.samples.size * 1000 / self.rate) if self.rate else 0


def speak(engine, text, voice, **options):
    return raw(read_stream(engine.synthesize(text, voice, options)))


def raw(spoken: SpokenText):
    samples = [chunk.samples for chunk in spoken.chunks]
    rates = {chunk.sample_rate for chunk in spoken.chunks}
    assert len(rates) <= 1
    joined = np.concatenate(samples) if samples else np.zeros(0, np.float32)
    audio = spoken.file.audio if spoken.file else b""
    return RawSpeech(joined, rates.pop() if rates else 0, tuple(spoken.words), audio)


def assert_words_fit(words, duration_ms, text):
    """Words are those of the text in order; times are monotonic and within the duration."""
    end = place = 0
    for word in words:
        assert end <= word.start_ms <= word.end_ms <= duration_ms
        end = word.end_ms
        place = text.index(word.text, place) + len(word.text)
