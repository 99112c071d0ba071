"""Shaping: silence that is cut, fades, and the limiter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yapit.audio import shaping

CEILING = 10 ** (-1 / 20)


def tone(milliseconds, amplitude=0.5):
    return (amplitude * np.sin(np.arange(milliseconds * 24) * 0.1)).astype(np.float32)


def silence(milliseconds):
    return np.zeros(milliseconds * 24, np.float32)


@pytest.mark.parametrize("amplitude", [0.9, 0.05, 0.001])
def test_silence_is_cut_to_15_ms_before_and_60_ms_after(amplitude):
    samples = np.concatenate([silence(300), tone(500, amplitude), silence(450)])

    part = shaping.sounding_part(samples)

    assert part.start == pytest.approx((300 - 15) * 24, abs=2)
    assert part.stop == pytest.approx((800 + 60) * 24, abs=24)


def test_noise_45_db_below_the_peak_is_silence():
    noise = np.random.default_rng(1).uniform(-1, 1, 24 * 400).astype(np.float32)
    quiet, louder = noise * 0.5 * 10 ** (-46 / 20), noise * 0.5 * 10 ** (-40 / 20)

    assert shaping.sounding_part(np.concatenate([quiet, tone(100)])).start > 380 * 24
    assert shaping.sounding_part(np.concatenate([louder, tone(100)])).start == 0


def test_silence_is_not_added():
    samples = tone(200)
    part = shaping.sounding_part(samples)

    assert (part.start, part.stop) == (0, samples.size)


def test_silence_inside_a_block_stays():
    samples = np.concatenate([tone(100), silence(900), tone(100)])

    assert shaping.sounding_part(samples) == slice(0, samples.size)


@pytest.mark.parametrize("samples", [silence(100), silence(0)])
def test_silence_alone_has_no_sounding_part(samples):
    part = shaping.sounding_part(samples)

    assert part.start == part.stop


def test_both_ends_fade_over_5_and_10_ms():
    samples = np.ones(24 * 100, np.float32)

    faded = shaping.faded(samples)

    assert (faded[0], faded[-1]) == (0, 0)
    assert faded[24 * 5 // 2] == pytest.approx(0.5, abs=0.01)
    assert faded[-24 * 5] == pytest.approx(0.5, abs=0.01)
    assert (faded[24 * 5 : -24 * 10] == 1).all()
    assert (samples == 1).all()


@given(st.integers(0, 500))
def test_a_block_shorter_than_its_fades_is_faded(count):
    assert shaping.faded(np.ones(count, np.float32)).size == count


def test_samples_below_the_limit_are_unchanged():
    samples = tone(100, 0.7)

    assert shaping.limited(samples) is samples


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=2000))
def test_no_sample_exceeds_the_limit(values):
    limited = shaping.limited(np.array(values, np.float32))

    assert limited.size == len(values)
    assert np.abs(limited).max() < CEILING


def test_the_limiter_works_around_a_peak_only_and_changes_no_sign():
    samples = tone(400, 0.5)
    samples[4800:4810] *= 6

    limited = shaping.limited(samples)

    far = np.abs(np.arange(samples.size) - 4805) > 2 * shaping.LOOK_AHEAD + 10
    assert np.allclose(limited[far], samples[far], atol=1e-6)
    assert (limited * samples >= 0).all()


def test_the_gain_of_the_limiter_has_no_steps():
    samples = np.full(4800, 0.5, np.float32)
    samples[2400] = 5

    gains = shaping.limited(samples) / samples

    assert np.abs(np.diff(gains)).max() < 0.01
