"""Integrated loudness by ITU-R BS.1770-4 of mono audio, in LUFS, and the gain to a target."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

TARGET = -18.0  # LUFS
LARGEST_GAIN = 24.0  # dB; more would amplify the noise of a voice that says nothing
BLOCK_SECONDS = 0.4  # gating blocks, of which each begins a quarter of a block after the previous one
OVERLAP = 4
ABSOLUTE_GATE = -70.0  # LUFS
RELATIVE_GATE = -10.0  # LU below the loudness of the blocks above the absolute gate
OFFSET = -0.691  # so that a sine of 997 Hz at full scale has -3.01 LUFS

Samples = NDArray[np.float32]
Reals = NDArray[np.float64]


def integrated(samples: Samples, sample_rate: int) -> float:
    """LUFS; -inf for silence and for less than 0.4 seconds."""
    step = round(BLOCK_SECONDS * sample_rate / OVERLAP)
    squares = np.square(_weighted(samples, sample_rate))
    whole = squares.size // step
    steps = squares[: whole * step].reshape(whole, step).mean(axis=1)
    if whole < OVERLAP:
        return -math.inf
    powers = np.convolve(steps, np.full(OVERLAP, 1 / OVERLAP), "valid")
    loud = powers[powers > _power(ABSOLUTE_GATE)]
    if not loud.size:
        return -math.inf
    gated = loud[loud > _power(_lufs(loud.mean()) + RELATIVE_GATE)]
    return _lufs(gated.mean())


def gain_to_target(samples: Samples, sample_rate: int) -> float:
    """The gain in dB that brings this audio to the target; 0 for silence. Rounded to 0.01 dB."""
    measured = integrated(samples, sample_rate)
    if measured == -math.inf:
        return 0.0
    return round(min(max(TARGET - measured, -LARGEST_GAIN), LARGEST_GAIN), 2)


def _lufs(power: Any) -> float:
    return OFFSET + 10 * math.log10(power)


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - OFFSET) / 10))


def _weighted(samples: Samples, sample_rate: int) -> Reals:
    """K-weighted samples. Filtered by FFT: a recursive filter needs a loop in Python, or scipy."""
    length = samples.size + sample_rate // 2  # the response of the filters has decayed by then
    size = 1 << (length - 1).bit_length()
    delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = _shelf(sample_rate, delay) * _high_pass(sample_rate, delay)
    spectrum = np.fft.rfft(samples.astype(np.float64), size)
    weighted: Reals = np.fft.irfft(spectrum * response, size)[: samples.size]
    return weighted


def _shelf(sample_rate: int, delay: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The first stage: the head, as a high shelf. Analogue prototype of the standard's coefficients."""
    slope, quality = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    numerator = (
        high + band * slope / quality + slope**2,
        2 * (slope**2 - high),
        high - band * slope / quality + slope**2,
    )
    return _biquad(numerator, slope, quality, delay) / (1 + slope / quality + slope**2)


def _high_pass(sample_rate: int, delay: NDArray[np.complex128]) -> NDArray[np.complex128]:
    slope, quality = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    return _biquad((1.0, -2.0, 1.0), slope, quality, delay)


def _biquad(
    numerator: tuple[float, float, float], slope: float, quality: float, delay: NDArray[np.complex128]
) -> NDArray[np.complex128]:
    whole = 1 + slope / quality + slope**2
    denominator = (1.0, 2 * (slope**2 - 1) / whole, (1 - slope / quality + slope**2) / whole)
    return _polynomial(numerator, delay) / _polynomial(denominator, delay)


def _polynomial(
    coefficients: tuple[float, float, float], delay: NDArray[np.complex128]
) -> NDArray[np.complex128]:
    first, second, third = coefficients
    return first + delay * (second + delay * third)
