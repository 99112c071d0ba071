"""Time stretching: the speed changes, the pitch and the loudness stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.yapit.audio.ogg_decoding import heard
from tests.yapit.engines.speaking import speak
from yapit.audio import rendering
from yapit.audio.stretching import FRAME, stretched
from yapit.engines.hibari import HibariEngine

SPEEDS = [0.5, 0.8, 1.25, 2.0]


def tone(seconds, hertz=180):
    return (0.4 * np.sin(np.arange(int(seconds * 24_000)) * (2 * np.pi * hertz / 24_000))).astype(np.float32)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("hertz", [90, 180, 700])
def test_the_pitch_and_the_level_stay(speed, hertz):
    result = stretched(tone(2, hertz), speed)

    middle = result[2400:-2400]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size), 1 << 18))
    assert np.argmax(spectrum) * 24_000 / (1 << 18) == pytest.approx(hertz, rel=0.03)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.05)
    assert np.abs(result).max() < 0.42


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 5000), st.floats(0.5, 2.0))
def test_the_length_is_divided_by_the_speed(count, speed):
    assert stretched(np.ones(count, np.float32), speed).size == round(count / speed)


def test_at_the_usual_speed_samples_are_unchanged():
    samples = tone(0.1)

    assert stretched(samples, 1.0) is samples


@pytest.mark.parametrize("speed", SPEEDS)
def test_sounds_and_pauses_stay_in_their_order(speed):
    samples = np.concatenate([tone(0.5), np.zeros(12_000, np.float32), tone(0.5)])

    level = np.abs(stretched(samples, speed))

    place = int(12_000 / speed)
    assert level[place + 1000 : 2 * place - 1000].max() < 0.01
    assert level[:place].max() > 0.3
    assert level[2 * place + 1000 :].max() > 0.3


@pytest.mark.parametrize("speed", SPEEDS)
def test_words_are_loud_at_their_times_at_every_speed(speed):
    speech = speak(HibariEngine("hibari"), "Hello there. My friend.", "heart")

    file = rendering.render([(speech.samples, speech.rate)], gain_db=8, speed=speed)

    words = file.words([(word.text, word.start_ms, word.end_ms) for word in speech.words])
    level = np.abs(heard(file.audio))
    assert words[-1][2] <= file.duration_ms
    assert all(level[start * 24 : end * 24].max() > level.max() / 5 for _, start, end in words)
    between = level[words[1][2] * 24 + int(4800 / speed) : words[2][1] * 24 - int(1200 / speed) - FRAME]
    assert between.size > 500
    assert between.max() < level.max() / 10
