"""Rendering: PCM of an engine to a canonical file, which is what stores keep of a block.

Canonical form: one block, mono, Ogg Opus, silence cut, loudness levelled. Pauses are not in the files.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yapit.audio import loudness, opus, shaping, stretching
from yapit.audio.opus import SAMPLE_RATE, EncodingError

Samples = NDArray[np.float32]
Pcm = tuple[NDArray[Any], int]  # mono float32 (-1..1) or int16 samples, and their rate
TimedWord = tuple[str, int, int]  # text, start and end in ms


class Rendered(NamedTuple):
    audio: bytes
    duration_ms: int
    cut_ms: int  # of silence cut at the head
    speed: float = 1.0  # by which the PCM was stretched, before the cut

    def words(self, words: Iterable[TimedWord]) -> list[TimedWord]:
        """Word times from the beginning of the file, given those from the beginning of the PCM."""
        return [(text, self._moved(start), self._moved(end)) for text, start, end in words]

    def _moved(self, milliseconds: int) -> int:
        return min(max(round(milliseconds / self.speed) - self.cut_ms, 0), self.duration_ms)


def render(parts: Sequence[Pcm], *, gain_db: float, speed: float = 1.0) -> Rendered | None:
    """Encode in canonical form. None: there is no sound. Raises EncodingError.

    `gain_db` is that of the voice, so that the dynamics between its blocks stay. `speed` is for engines that
    have none of their own.
    """
    samples = stretching.stretched(_samples(parts), speed)
    part = shaping.sounding_part(samples)
    if part.start == part.stop:
        return None
    shaped = shaping.faded(shaping.limited(samples[part] * np.float32(shaping.ratio(gain_db))))
    cut_ms = opus.milliseconds(part.start)
    return Rendered(opus.encode(shaped), opus.milliseconds(shaped.size), cut_ms, speed)


def render_untrimmed(parts: Sequence[Pcm]) -> Rendered | None:
    """Encode without changing the samples, for jobs that name `opus.UNTRIMMED_CODEC`."""
    samples = _samples(parts)
    if not samples.size:
        return None
    return Rendered(opus.encode(samples), opus.milliseconds(samples.size), 0)


def gain_of(parts: Sequence[Pcm]) -> float:
    """The gain in dB of a voice, of which this is the introduction. Raises EncodingError."""
    return loudness.gain_to_target(_samples(parts), SAMPLE_RATE)


def _samples(parts: Sequence[Pcm]) -> Samples:
    """All parts as one array of float32 at 24 kHz."""
    rates = {rate for _, rate in parts}
    if len(rates) > 1:
        raise EncodingError("the sample rate changes within a block")
    joined = np.concatenate([_floats(samples) for samples, _ in parts] or [np.zeros(0, np.float32)])
    if not np.isfinite(joined).all():
        raise EncodingError("the samples are not finite numbers")
    return joined if rates <= {SAMPLE_RATE} or not joined.size else _resampled(joined, rates.pop())


def _floats(samples: NDArray[Any]) -> Samples:
    if samples.ndim != 1:
        raise EncodingError("the samples are not mono")
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / np.float32(32768)
    if samples.dtype.kind != "f":
        raise EncodingError("the samples are neither floats nor of 16 bits")
    return samples.astype(np.float32, copy=False)


def _resampled(samples: Samples, rate: int) -> Samples:
    import av

    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    try:
        frames = [*resampler.resample(frame), *resampler.resample(None)]
    except (av.FFmpegError, ValueError) as error:
        raise EncodingError(f"the sample rate {rate} cannot be converted") from error
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
