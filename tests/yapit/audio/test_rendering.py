"""Rendering: PCM of an engine becomes a canonical file of the right sound, length and loudness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.yapit.audio.ogg_decoding import declared_samples, heard, peak_db, silence_at_ends
from tests.yapit.engines.speaking import speak
from yapit.audio import loudness, opus, rendering, validation
from yapit.catalog import previews
from yapit.engines.hibari import HibariEngine

ENGINE = HibariEngine("hibari")
VOICES = [voice.slug for voice in ENGINE.voices()]
SENTENCES = [
    "Hello there. My friend.",
    "Is it?",
    "Yes!",
    "Stop it now! I said stop! This is the last time that I tell you.",
    "On the 3rd of March, 42 people paid $9.99 — really? Dr. Smith’s cats didn’t.",
    "In the beginning the universe was created, which has made a lot of people very angry.",
    "Pop, tick, crash: the bottle broke.",
]


def tone(milliseconds, rate=24_000, amplitude=0.5):
    count = milliseconds * rate // 1000
    return (amplitude * np.sin(np.arange(count) * (2 * np.pi * 440 / rate))).astype(np.float32)


def silence(milliseconds):
    return np.zeros(milliseconds * 24, np.float32)


@pytest.fixture(scope="module", params=VOICES)
def voice(request):
    """A voice and its gain."""
    speech = speak(ENGINE, previews.sentence("en"), request.param)
    return request.param, rendering.gain_of([(speech.samples, speech.rate)])


@pytest.fixture(scope="module")
def spoken(voice):
    """(speech as the engine returned it, rendered file, decoded samples) of each sentence."""
    slug, gain = voice
    speeches = [speak(ENGINE, text, slug) for text in SENTENCES]
    files = [rendering.render([(speech.samples, speech.rate)], gain_db=gain) for speech in speeches]
    return [(speech, file, heard(file.audio)) for speech, file in zip(speeches, files, strict=True)]


# --- Real speech --------------------------------------------------------------------------------------------


def test_speech_has_at_most_15_ms_of_silence_at_its_head_and_60_at_its_tail(spoken):
    """Within the 5 ms by which the codec smears quiet sounds. The engine's own samples have 200 to 500 ms."""
    for speech, _, samples in spoken:
        head, tail = silence_at_ends(samples)
        assert head <= 15 + 5
        assert tail <= 60 + 5
        assert min(silence_at_ends(speech.samples)) > 200


def test_peaks_of_speech_stay_below_1_dbfs(spoken):
    assert all(peak_db(samples) <= -1 for _, _, samples in spoken)
    assert any(peak_db(speech.samples) + 8 > -1 for speech, _, _ in spoken), "the limiter has no work"


def test_each_voice_is_within_1_lu_of_the_target(spoken):
    everything = np.concatenate([samples for _, _, samples in spoken])

    assert loudness.integrated(everything, 24_000) == pytest.approx(-18, abs=1)


def test_sentences_of_a_voice_keep_their_dynamics(voice, spoken):
    """One gain for all: the ratio of two sentences is that of the engine, except for limited peaks."""
    _, gain = voice
    for speech, file, samples in spoken:
        start = file.cut_ms * 24
        original = speech.samples[start : start + samples.size]
        ratio = 20 * np.log10(np.sqrt(np.mean(samples**2) / np.mean(original**2)))
        assert ratio == pytest.approx(gain, abs=0.6)


def test_words_are_loud_during_their_times_and_pauses_are_silent(spoken):
    speech, file, samples = spoken[0]
    words = file.words([(word.text, word.start_ms, word.end_ms) for word in speech.words])
    level = np.abs(samples)
    quiet = level.max() / 15

    assert [text for text, _, _ in words] == ["Hello", "there.", "My", "friend."]
    assert all(level[start * 24 : end * 24].max() > level.max() / 5 for _, start, end in words)
    assert words[0][1] <= 100  # 325 ms in the engine's samples
    between = level[words[1][2] * 24 + 4800 : words[2][1] * 24 - 1200]
    assert between.size > 1000
    assert between.max() < quiet


def test_word_times_are_those_of_the_engine_less_the_cut(spoken):
    for speech, file, samples in spoken:
        words = file.words([(word.text, word.start_ms, word.end_ms) for word in speech.words])
        for word, (text, start, end) in zip(speech.words, words, strict=True):
            assert text == word.text
            assert start == max(0, word.start_ms - file.cut_ms)
            assert start < end <= file.duration_ms == round(samples.size / 24)


# --- Other audio --------------------------------------------------------------------------------------------


def test_the_duration_is_that_of_the_file():
    file = rendering.render([(np.concatenate([silence(200), tone(500), silence(300)]), 24_000)], gain_db=0)

    assert file.duration_ms == validation.duration_ms(file.audio) == pytest.approx(575, abs=2)
    assert declared_samples(file.audio) == pytest.approx(file.duration_ms * 24, abs=12)
    assert file.cut_ms == 185


def test_the_same_samples_give_the_same_bytes():
    parts = [(tone(300), 24_000)]

    assert rendering.render(parts, gain_db=3.2) == rendering.render(parts, gain_db=3.2)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_other_sample_rates_are_converted(rate):
    file = rendering.render([(tone(500, rate), rate)], gain_db=0)

    samples = heard(file.audio)
    spectrum = np.abs(np.fft.rfft(samples[2400:9600]))
    assert file.duration_ms == pytest.approx(500, abs=4)
    assert np.argmax(spectrum) * 24_000 / 7200 == pytest.approx(440, abs=5)


def test_samples_of_16_bits_sound_like_floats():
    floats = tone(300)
    one, other = (
        heard(rendering.render([(samples, 24_000)], gain_db=0).audio)
        for samples in (floats, (floats * 32768).astype(np.int16))
    )

    assert np.corrcoef(one, other)[0, 1] > 0.999


def test_chunks_are_joined_without_a_gap():
    samples = tone(600)

    whole = rendering.render([(samples, 24_000)], gain_db=0)
    parts = rendering.render([(samples[:5000], 24_000), (samples[5000:], 24_000)], gain_db=0)
    assert whole == parts


@pytest.mark.parametrize("parts", [[], [(silence(300), 24_000)], [(silence(0), 24_000)]])
def test_silence_alone_gives_no_file(parts):
    assert rendering.render(parts, gain_db=0) is None


@pytest.mark.parametrize(
    "parts",
    [
        [(np.array([np.nan, 0.5], np.float32), 24_000)],
        [(np.zeros((2, 100), np.float32), 24_000)],
        [(np.zeros(100, np.int32), 24_000)],
        [(tone(100), 24_000), (tone(100), 22_050)],
        [(tone(100), 0)],
    ],
)
def test_samples_that_are_not_audio_are_refused(parts):
    with pytest.raises(opus.EncodingError):
        rendering.render(parts, gain_db=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.floats(-24, 24), st.integers(0, 2**32 - 1))
def test_every_block_with_sound_is_rendered_without_clipping(count, gain, seed):
    noise = np.random.default_rng(seed).standard_normal(count).astype(np.float32)

    file = rendering.render([(noise, 24_000)], gain_db=gain)

    assert validation.duration_ms(file.audio) == file.duration_ms or file.duration_ms == 0


def test_the_form_of_earlier_versions_keeps_every_sample():
    samples = np.concatenate([silence(300), tone(100)])

    file = rendering.render_untrimmed([(samples, 24_000)])

    assert file.audio == opus.encode(samples)
    assert (file.duration_ms, file.cut_ms) == (400, 0)
