"""Hibari's model with word times. Loads onnxruntime: for workers only.

The steps are those of `hibari.Hibari`, and so is the sound. They are repeated here because the package's own
call drops the mapping of phonemes to words.
"""

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from hibari import Hibari, dsp
from hibari.g2p import G2P, normalize
from numpy.typing import NDArray

from yapit.engines.contract import Word
from yapit.engines.hibari.assets import assets
from yapit.engines.hibari.onnx_outputs import with_output
from yapit.engines.word_times import Span, spans_of_words

DURATIONS = "/Round_output_0"  # of each phoneme, in units of two frames
SAMPLE_RATE: int = dsp.SR
UNIT = 2 * dsp.HOP  # samples
MAX_PHONEMES = 400  # of one run; the model was trained on sentences
PAUSES = frozenset(' ;:,.!?—…"()“”')
CLAUSE_END = re.compile(r"[,;:—] ")
LONG_NUMBER = re.compile(r"\d[\d,]{36,}")  # hibari's number words end at decillions
THREE_DIGITS = re.compile(r"\d{3},?(?=\d)")

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Phoneme:
    sign: str
    word: int  # index among the words as spoken


class Model:
    """The model of one voice. Not thread-safe."""

    def __init__(self, path: Path, *, british: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("ENGINE_THREADS", "1"))
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            with_output(path.read_bytes(), DURATIONS), options, providers=["CPUExecutionProvider"]
        )
        self._ids: dict[str, int] = json.loads((assets() / "vocab.json").read_bytes())
        self._g2p = G2P(british=british)

    def speak(self, text: str, *, speed: float, seed: int) -> Iterator[tuple[Samples, tuple[Word, ...]]]:
        """Samples at 24 kHz and word times of one sentence after the other; nothing for a text without sound.

        Sentences in front of the first word come with it: a lone "…" has phonemes and makes a faint noise.
        """
        noise = np.random.default_rng(seed)
        parts: list[Samples] = []
        position = 0
        is_audible = False
        for sentence in Hibari.split_sentences(text):
            spoken, phonemes = self._phonemes(sentence)
            spans: list[Span | None] = [None] * len(spoken)
            for piece in pieces(phonemes):
                samples, units = self._run(piece, speed, noise)
                _widen(spans, piece, units, position)
                parts.append(samples)
                position += samples.size
            is_audible = is_audible or any(spans)
            if is_audible and parts:
                yield np.concatenate(parts), tuple(_timed(sentence, spoken, spans))
                parts = []

    def _phonemes(self, sentence: str) -> tuple[list[str], list[Phoneme]]:
        """The words as spoken ("42" has become two), and the phonemes that the model knows."""
        spoken = [""]
        phonemes: list[Phoneme] = []
        for token in self._g2p.phonemize_tokens(self._g2p.tokenize(normalize(readable(sentence)))):
            spoken[-1] += token.text
            signs = (token.phonemes or "") + (" " if token.whitespace else "")
            phonemes += [Phoneme(sign, len(spoken) - 1) for sign in signs if sign in self._ids]
            if token.whitespace:
                spoken.append("")
        return spoken, phonemes

    def _run(
        self, piece: Sequence[Phoneme], speed: float, noise: np.random.Generator
    ) -> tuple[Samples, list[int]]:
        """Samples, and the duration of each phoneme in units, with the silence before and after."""
        ids = [0, *(self._ids[phoneme.sign] for phoneme in piece), 0]
        feed = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
        *spectra, durations = self._session.run(None, feed)
        samples: Samples = dsp.synth(*(one[0] for one in spectra), noise)
        return samples, durations.astype(int).tolist()


def readable(sentence: str) -> str:
    """Rewrite digits that int() refuses and numbers that are too long: hibari fails on both."""
    plain = "".join(f" {unicodedata.digit(sign)} " if is_odd_digit(sign) else sign for sign in sentence)
    return LONG_NUMBER.sub(lambda match: THREE_DIGITS.sub(r"\g<0> ", match.group()), plain)


def is_odd_digit(sign: str) -> bool:
    """True for circled digits and the like, except the superscripts of Latin-1, which hibari knows."""
    return sign > "³" and sign.isdigit() and not sign.isdecimal()


def pieces(phonemes: Sequence[Phoneme]) -> Iterator[Sequence[Phoneme]]:
    """Runs of at most MAX_PHONEMES, cut after a clause, or else between words, or else anywhere."""
    text = "".join(phoneme.sign for phoneme in phonemes)
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    while start < end:
        cut = end if end - start <= MAX_PHONEMES else _cut(text, start)
        yield phonemes[start:cut]
        start = cut + (text[cut : cut + 1] == " ")


def _cut(text: str, start: int) -> int:
    limit = start + MAX_PHONEMES
    clauses = [match.start() + 1 for match in CLAUSE_END.finditer(text, start, limit + 1)]
    if clauses:
        return clauses[-1]
    space = text.rfind(" ", start + 1, limit + 1)
    return space if space > 0 else limit


def _widen(spans: list[Span | None], piece: Sequence[Phoneme], units: Sequence[int], position: int) -> None:
    """Extend the spans (in samples) of the words of this piece, which begins at sample `position`."""
    at = position + units[0] * UNIT
    for phoneme, duration in zip(piece, units[1:], strict=False):
        end = at + duration * UNIT
        if phoneme.sign not in PAUSES:
            span = spans[phoneme.word]
            spans[phoneme.word] = (span[0] if span else at, end)
        at = end


def _timed(sentence: str, spoken: Sequence[str], spans: Sequence[Span | None]) -> Iterator[Word]:
    for word, (start, end) in spans_of_words(sentence.split(), spoken, spans):
        yield Word(word, _milliseconds(start), _milliseconds(end))


def _milliseconds(samples: int) -> int:
    return round(samples * 1000 / SAMPLE_RATE)
