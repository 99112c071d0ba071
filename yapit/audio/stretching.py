"""Time stretching: changes the speed of speech and keeps its pitch, by waveform similarity (WSOLA).

Frames of the input are overlapped at another distance. Each is taken where it continues the previous one
best, within a tolerance of more than half a period of a low voice.
"""

import numpy as np
from numpy.typing import NDArray

FRAME = 720  # samples (30 ms)
HOP = FRAME // 2  # of the output; windows that overlap by half add up to one
TOLERANCE = 240  # samples (10 ms)

Samples = NDArray[np.float32]


def stretched(samples: Samples, speed: float) -> Samples:
    """The samples at `speed` times their speed: round(size / speed) of them."""
    if speed == 1.0 or not samples.size:
        return samples
    size = round(samples.size / speed)
    count = size // HOP + 2
    padded = np.pad(samples, (TOLERANCE + HOP, round(count * HOP * speed) + 2 * (FRAME + TOLERANCE)))
    window = np.hanning(FRAME + 1)[:FRAME].astype(np.float32)
    result = np.zeros((count + 1) * HOP, np.float32)
    at = TOLERANCE
    for number in range(count):
        if number:
            at = _best(padded, round(number * HOP * speed) + TOLERANCE, padded[at + HOP : at + HOP + FRAME])
        result[number * HOP : number * HOP + FRAME] += window * padded[at : at + FRAME]
    return result[HOP : HOP + size]


def _best(samples: Samples, around: int, expected: Samples) -> int:
    """The place near `around` at which the samples are most similar to what is expected."""
    first = around - TOLERANCE
    likeness = np.correlate(samples[first : around + TOLERANCE + FRAME], expected, "valid")
    return first + int(np.argmax(likeness))
