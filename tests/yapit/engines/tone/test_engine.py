"""The tone engine: duration, size, delays and failures on request."""

import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.yapit.audio.ogg_decoding import declared_samples, decoded_samples
from tests.yapit.engines import speaking
from tests.yapit.engines.speaking import assert_words_fit
from yapit import ogg
from yapit.audio import validation
from yapit.engines import END, BrokenStream, EngineError
from yapit.engines.tone import ToneEngine

ENGINE = ToneEngine("tone")
TEXT = "Some words to read, aloud."


def speak(text=TEXT, voice="sine", **options):
    return speaking.speak(ENGINE, text, voice, **options)


def failed(text, **options):
    return not speak(text, voice="instant", **options).audio


def test_the_duration_is_that_of_speech():
    speech = speak(ms_per_character=50)

    assert speech.duration_ms == len(TEXT) * 50
    assert speech.samples.size == speech.duration_ms * 24
    assert [word.text for word in speech.words] == TEXT.split()
    assert_words_fit(speech.words, speech.duration_ms, TEXT)


def test_audio_depends_on_the_text_only():
    assert np.array_equal(speak().samples, speak().samples)
    assert not np.array_equal(speak().samples, speak(TEXT[:-1] + "!").samples)


@pytest.mark.parametrize("size", [10_000, 100_000, 300_000])
def test_an_instant_file_has_the_requested_size_and_is_valid(size):
    speech = speak(voice="instant", bytes=size)

    assert len(speech.audio) == pytest.approx(size, rel=0.05)
    duration_ms = validation.duration_ms(speech.audio)
    assert decoded_samples(speech.audio) == declared_samples(speech.audio) == duration_ms * 24
    assert_words_fit(speech.words, duration_ms, TEXT)
    assert not speech.samples.size


def test_instant_files_of_two_texts_differ_in_their_comment_only():
    one, other = (list(ogg.pages(speak(text, voice="instant").audio)) for text in ("one", "other"))

    assert one[1].body != other[1].body
    assert one[:1] + one[2:] == other[:1] + other[2:]


def test_the_instant_voice_takes_less_than_a_millisecond():
    speak(voice="instant")
    start = time.process_time()
    for number in range(200):
        speak(f"{TEXT} {number}", voice="instant")

    assert time.process_time() - start < 0.2


def test_the_delay_is_respected():
    start = time.monotonic()
    speak(voice="slow", delay_ms=60)

    assert time.monotonic() - start >= 0.06


def test_raise_raises_an_engine_error():
    with pytest.raises(EngineError) as caught:
        speak(fail="raise")

    assert caught.value.code == "engine_failed"


def test_nothing_is_a_text_without_sound_and_garbage_is_no_audio():
    assert list(ENGINE.synthesize(TEXT, "sine", {"fail": "nothing"})) == [END]
    with pytest.raises(validation.NotCanonical):
        validation.duration_ms(speak(fail="garbage").audio)


@pytest.mark.parametrize(("fail", "code"), [("empty", "engine_empty"), ("half", "engine_incomplete")])
def test_broken_streams_can_be_requested(fail, code):
    with pytest.raises(BrokenStream) as caught:
        speak(fail=fail)

    assert caught.value.code == code


def test_die_ends_the_process():
    code = "from tests.yapit.engines.tone import test_engine; test_engine.speak(fail='die'); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (70, b"")


def test_hang_does_not_return():
    code = (
        "from tests.yapit.engines.tone import test_engine"
        "; print('begun', flush=True); test_engine.speak(fail='hang')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.kill()


def test_failures_apply_to_their_share_of_texts_and_always_to_the_same_ones():
    texts = [f"text {number}" for number in range(400)]
    first = [text for text in texts if failed(text, fail="nothing", fail_rate=0.25)]
    second = [text for text in texts if failed(text, fail="nothing", fail_rate=0.25)]

    assert first == second
    assert 60 < len(first) < 140


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
@pytest.mark.parametrize("voice", ["sine", "instant"])
def test_blank_text_has_no_sound(text, voice):
    assert list(ENGINE.synthesize(text, voice, {})) == [END]


@pytest.mark.parametrize(
    "options",
    [
        {"pitch": 1},
        {"delay_ms": -1},
        {"delay_ms": "5"},
        {"delay_ms": True},
        {"fail": "else"},
        {"fail_rate": float("nan")},
        {"bytes": 10**9},
    ],
)
def test_invalid_options_are_refused(options):
    with pytest.raises(EngineError) as caught:
        speak(**options)

    assert caught.value.code == "bad_parameters"


def test_an_unknown_voice_is_refused():
    with pytest.raises(EngineError) as caught:
        speak(voice="unknown")

    assert caught.value.code == "unknown_voice"


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=500), st.sampled_from(["sine", "instant"]))
def test_every_text_can_be_spoken(text, voice):
    speech = speak(text, voice=voice, ms_per_character=1)

    assert bool(speech.audio or speech.samples.size) == bool(text.strip())
    duration_ms = validation.duration_ms(speech.audio) if speech.audio else speech.duration_ms
    assert_words_fit(speech.words, duration_ms, text)
