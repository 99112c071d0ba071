"""Shaping of samples: cuts silence at both ends, fades, and limits peaks. 24 kHz mono float32."""

import numpy as np
from numpy.typing import NDArray

from yapit.audio.opus import SAMPLE_RATE

HEAD_MS = 15  # of silence that stays in front of the first sound
TAIL_MS = 60  # and behind the last one
THRESHOLD_DB = -45.0  # of a sound, below the peak of the same block
FADE_IN_MS = 5
FADE_OUT_MS = 10
LIMIT_DB = -1.0  # dBFS
# Opus does not keep the wave form: peaks of the decoded audio exceed those of the samples.
ENCODER_MARGIN_DB = 1.0
LOOK_AHEAD = 120  # samples (5 ms) over which the limiter's gain falls and rises

Samples = NDArray[np.float32]


def ratio(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def sounding_part(samples: Samples) -> slice:
    """Where the block begins and ends, with the silence that stays. Empty if there is no sound."""
    loudness = np.abs(samples)
    peak = float(loudness.max(initial=0.0))
    if not peak:
        return slice(0, 0)
    sounding = np.flatnonzero(loudness > peak * ratio(THRESHOLD_DB))
    start = max(0, int(sounding[0]) - _count(HEAD_MS))
    end = min(samples.size, int(sounding[-1]) + 1 + _count(TAIL_MS))
    return slice(start, end)


def faded(samples: Samples) -> Samples:
    """A copy with both ends faded to zero, so that joined blocks do not click."""
    result = samples.copy()
    fade_in = min(_count(FADE_IN_MS), samples.size)
    fade_out = min(_count(FADE_OUT_MS), samples.size)
    result[:fade_in] *= np.linspace(0, 1, fade_in, endpoint=False, dtype=np.float32)
    result[samples.size - fade_out :] *= np.linspace(1, 0, fade_out, dtype=np.float32)
    return result


def limited(samples: Samples) -> Samples:
    """Samples whose peaks stay below the limit. Unchanged where nothing near them exceeds it.

    The gain of each sample is the mean of the lowest gains that its neighbours need. Each of these covers
    the sample itself, so the limit holds exactly, and the gain changes without a step.
    """
    ceiling = ratio(LIMIT_DB - ENCODER_MARGIN_DB)
    loudness = np.abs(samples)
    if loudness.max(initial=0.0) <= ceiling:
        return samples
    needed = ceiling / np.maximum(loudness, ceiling)
    width = 2 * LOOK_AHEAD + 1
    lowest = _sliding_minimum(np.pad(needed, 2 * LOOK_AHEAD, constant_values=1.0), width)
    sums = np.cumsum(np.concatenate(([0.0], lowest)), dtype=np.float64)
    gain = (sums[width:] - sums[:-width]) / width
    result: Samples = np.clip(samples * gain, -ceiling, ceiling).astype(np.float32)
    return result


def _sliding_minimum(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Minima of all runs of `width` values, by minima from both ends of blocks of that width."""
    padded = np.pad(values, (0, -values.size % width), constant_values=1.0).reshape(-1, width)
    forwards = np.minimum.accumulate(padded, axis=1).reshape(-1)
    backwards = np.minimum.accumulate(padded[:, ::-1], axis=1)[:, ::-1].reshape(-1)
    count = values.size - width + 1
    lowest: NDArray[np.float32] = np.minimum(backwards[:count], forwards[width - 1 : width - 1 + count])
    return lowest


def _count(milliseconds: int) -> int:
    return milliseconds * SAMPLE_RATE // 1000
