"""Loudness by ITU-R BS.1770: sines of known loudness, the gates, and the gain to the target."""

import math

import numpy as np
import pytest

from yapit.audio import loudness

RATES = [22_050, 24_000, 48_000]


def sine(decibels, seconds, rate=24_000, hertz=997):
    angles = np.arange(int(seconds * rate)) * (2 * np.pi * hertz / rate)
    return (10 ** (decibels / 20) * np.sin(angles)).astype(np.float32)


def levels(*parts):
    return np.concatenate([sine(decibels, seconds) for decibels, seconds in parts])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("decibels", [0, -20, -40])
def test_a_sine_of_997_hertz_is_3_lu_below_its_level(rate, decibels):
    measured = loudness.integrated(sine(decibels, 4, rate), rate)

    assert measured == pytest.approx(decibels - 3.01, abs=0.05)


@pytest.mark.parametrize(
    ("hertz", "expected"), [(38, -6.0), (100, -1.1), (1681.97, 2.5), (5000, 4.0), (10_000, 4.0)]
)
def test_the_weighting_is_that_of_the_standard(hertz, expected):
    """Relative to its gain of 0.69 dB at 997 Hz: high-pass at 38 Hz, shelf of 4 dB above 1.7 kHz."""
    relative = loudness.integrated(sine(-20, 10, 48_000, hertz), 48_000) - loudness.OFFSET + 23.01

    assert relative == pytest.approx(expected, abs=0.35)


@pytest.mark.parametrize(
    "parts",
    [
        [(-36, 10), (-23, 60), (-36, 10)],
        [(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)],
    ],
)
def test_quiet_parts_are_gated(parts):
    """Cases 3 and 4 of EBU Tech 3341, in one channel."""
    assert loudness.integrated(levels(*parts), 24_000) == pytest.approx(-26.01, abs=0.1)


def test_the_reading_follows_the_level():
    quiet, loud = (loudness.integrated(sine(level, 3), 24_000) for level in (-30, -10))

    assert loud - quiet == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize("samples", [np.zeros(48_000), sine(-80, 3), sine(-10, 0.3), np.zeros(0)])
def test_silence_and_short_audio_have_no_loudness(samples):
    assert loudness.integrated(samples.astype(np.float32), 24_000) == -math.inf
    assert loudness.gain_to_target(samples.astype(np.float32), 24_000) == 0


def test_the_gain_brings_audio_to_the_target():
    samples = sine(-33, 3)
    gain = loudness.gain_to_target(samples, 24_000)

    amplified = (samples * 10 ** (gain / 20)).astype(np.float32)
    assert loudness.integrated(amplified, 24_000) == pytest.approx(loudness.TARGET, abs=0.02)


def test_the_gain_is_bounded():
    assert loudness.gain_to_target(sine(-60, 3), 24_000) == loudness.LARGEST_GAIN
