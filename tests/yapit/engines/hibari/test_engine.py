"""The hibari engine with its real model: sound, word times, reproducible samples."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hibari import Hibari
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.yapit.engines import speaking
from tests.yapit.engines.speaking import assert_words_fit
from yapit.engines import END, EngineError
from yapit.engines.hibari import HibariEngine
from yapit.engines.hibari.assets import model_path, registry
from yapit.engines.hibari.model import MAX_PHONEMES, Model, Phoneme, pieces, readable

ENGINE = HibariEngine("hibari")
TEXT = "On the 3rd of March, 42 people paid $9.99 — really? Dr. Smith’s cats didn’t."


def speak(text=TEXT, voice="heart", **options):
    return speaking.speak(ENGINE, text, voice, **options)


def joined(parts):
    """Samples and words of what the model yields."""
    samples, words = zip(*parts, strict=True)
    return np.concatenate(samples), [word for each in words for word in each]


@pytest.fixture(scope="module")
def model():
    about = registry()["heart"]
    return Model(model_path(about), british=about["british"])


def test_the_samples_equal_those_of_the_package(model):
    samples, _ = joined(model.speak(TEXT, speed=1.0, seed=7))

    assert np.array_equal(samples, Hibari()(TEXT, seed=7))


def test_each_sentence_is_a_chunk_with_its_words():
    first, second, end = ENGINE.synthesize("Hello there. My friend.", "heart", {})

    assert [word.text for word in first.words] == ["Hello", "there."]
    assert [word.text for word in second.words] == ["My", "friend."]
    assert second.words[0].start_ms * 24 > first.samples.size
    assert end is END


def test_a_faint_noise_in_front_of_the_first_word_comes_with_it(model):
    [(samples, words)] = model.speak("… Hello.", speed=1.0, seed=0)

    assert [word.text for word in words] == ["Hello."]
    assert np.array_equal(samples, Hibari()("… Hello.", seed=0))


def test_words_are_those_of_the_text_in_order():
    speech = speak()

    assert [word.text for word in speech.words] == TEXT.replace("— ", "").split()
    assert_words_fit(speech.words, speech.duration_ms, TEXT)
    assert all(word.end_ms > word.start_ms for word in speech.words)


def test_words_are_loud_during_their_times_and_pauses_are_silent(model):
    samples, words = joined(model.speak("Hello there. My friend.", speed=1.0, seed=0))
    loudness = np.abs(samples)

    assert loudness[: words[0].start_ms * 24 - 1200].max() < 0.02
    assert loudness[words[1].end_ms * 24 + 4800 : words[2].start_ms * 24 - 1200].max() < 0.02
    assert all(loudness[word.start_ms * 24 : word.end_ms * 24].max() > 0.1 for word in words)


def test_the_same_text_gives_the_same_samples_in_another_process():
    code = (
        "import hashlib; from tests.yapit.engines.hibari.test_engine import speak; "
        "print(hashlib.sha256(speak().samples).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == hashlib.sha256(speak().samples).hexdigest()


def test_speed_and_seed_change_the_audio():
    usual = speak()

    assert speak(speed=2.0).duration_ms < usual.duration_ms * 0.65
    assert not np.array_equal(speak(seed=1).samples, usual.samples)
    fast = speak(speed=2.0)
    assert_words_fit(fast.words, fast.duration_ms, TEXT)


@pytest.mark.parametrize("text", ["", " \n ", "😀", "你好。", "…", "\x00", "()", "\u200d"])
def test_a_text_without_sound_gives_no_samples(text):
    assert list(ENGINE.synthesize(text, "heart", {})) == [END]


@pytest.mark.parametrize("text", ["9" * 400, "1,000" * 60, "① first ❷ second", "word " * 100, "a" * 500])
def test_a_text_on_which_the_package_fails_is_spoken(text):
    speech = speak(text)

    assert speech.samples.size
    assert_words_fit(speech.words, speech.duration_ms, text)


@pytest.mark.parametrize(
    "options",
    [{"pitch": 1}, {"speed": 0.4}, {"speed": "1"}, {"speed": float("nan")}, {"seed": -1}, {"seed": 1.5}],
)
def test_invalid_options_are_refused(options):
    with pytest.raises(EngineError) as caught:
        speak(**options)

    assert caught.value.code == "bad_parameters"


@pytest.mark.parametrize("voice", ["unknown", "emma", "../heart"])
def test_a_voice_without_a_model_is_refused_and_not_downloaded(voice, monkeypatch):
    monkeypatch.delenv("HIBARI_HOME", raising=False)

    with pytest.raises(EngineError) as caught:
        speak(voice=voice)

    assert caught.value.code == "unknown_voice"


def test_an_error_in_the_pronunciation_is_final_and_does_not_quote_the_text(monkeypatch):
    def fail(self, text, **_):
        raise IndexError(text)

    monkeypatch.setattr(Model, "speak", fail)

    with pytest.raises(EngineError) as caught:
        speak("secret words")

    assert caught.value.code == "engine_failed"
    assert "secret" not in str(caught.value)


SIGNS = "abcT 019 .,'’-²é/()[]$€%°:;!?—…\"①❶αλ你😀\n\t\x00\u200d"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(codec="utf-8"), max_size=80) | st.text(st.sampled_from(SIGNS), max_size=60))
def test_every_text_can_be_spoken(text):
    speech = speak(text, speed=2.0)

    assert bool(speech.samples.size) == bool(speech.words)
    assert_words_fit(speech.words, speech.duration_ms, text)


def cut(text):
    return ["".join(one.sign for one in piece) for piece in pieces([Phoneme(sign, 0) for sign in text])]


def test_long_sentences_are_cut_after_a_clause_or_between_words_or_anywhere():
    clause, words, solid = "x" * 250 + ", ", "word " * 100, "y" * 900

    assert cut(clause * 2) == ["x" * 250 + ","] * 2
    assert cut(words) == [("word " * 80).strip(), ("word " * 20).strip()]
    assert [len(piece) for piece in cut(solid)] == [MAX_PHONEMES, MAX_PHONEMES, 100]


@given(st.text(st.sampled_from("ab ,;"), max_size=2000))
def test_cutting_drops_spaces_only(text):
    runs = cut(text)

    assert "".join(runs).replace(" ", "") == text.replace(" ", "")
    assert all(0 < len(run) <= MAX_PHONEMES for run in runs)


def test_unreadable_digits_and_numbers_are_rewritten():
    assert readable("① m² 12") == " 1  m² 12"
    assert readable("1" * 40).split() == ["111"] * 13 + ["1"]
