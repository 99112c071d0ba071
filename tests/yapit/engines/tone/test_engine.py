"""The tone engine: duration, size, delays and failures on request."""

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.yapit.audio.ogg_decoding import assert_words_fit, declared_samples, decoded_samples
from yapit.audio import ogg
from yapit.engines import EngineError, load_engine

PATH = "yapit.engines.tone.ToneEngine"
ENGINE = load_engine("tone", PATH)
TEXT = "Some words to read, aloud."


def speak(text=TEXT, voice="sine", **parameters):
    return ENGINE.synthesize(text, voice=voice, parameters=parameters)


def failed(text, **parameters):
    return not speak(text, voice="instant", **parameters).audio


def test_the_duration_is_that_of_speech():
    speech = speak(ms_per_character=50)

    assert speech.duration_ms == len(TEXT) * 50
    assert decoded_samples(speech.audio) == speech.duration_ms * 24
    assert [word.text for word in speech.words] == TEXT.split()
    assert_words_fit(speech, TEXT)


def test_audio_depends_on_the_text_only():
    assert speak().audio == speak().audio != speak(TEXT[:-1] + "!").audio


@pytest.mark.parametrize("size", [10_000, 100_000, 300_000])
def test_an_instant_file_has_the_requested_size_and_is_valid(size):
    speech = speak(voice="instant", bytes=size)

    assert len(speech.audio) == pytest.approx(size, rel=0.05)
    assert decoded_samples(speech.audio) == declared_samples(speech.audio) == speech.duration_ms * 24
    assert_words_fit(speech, TEXT)


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


def test_nothing_and_garbage_give_no_valid_audio():
    assert speak(fail="nothing").audio == b""
    with pytest.raises(ogg.BadOgg):
        list(ogg.pages(speak(fail="garbage").audio))


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
def test_blank_text_gives_no_audio(text, voice):
    speech = speak(text, voice=voice)

    assert (speech.audio, speech.duration_ms, speech.words) == (b"", 0, ())


@pytest.mark.parametrize(
    "parameters",
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
def test_invalid_parameters_are_refused(parameters):
    with pytest.raises(EngineError) as caught:
        speak(**parameters)

    assert caught.value.code == "bad_parameters"


def test_an_unknown_voice_is_refused():
    with pytest.raises(EngineError) as caught:
        speak(voice="unknown")

    assert caught.value.code == "unknown_voice"


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=500), st.sampled_from(["sine", "instant"]))
def test_every_text_can_be_spoken(text, voice):
    speech = speak(text, voice=voice, ms_per_character=1)

    assert bool(speech.audio) == bool(text.strip())
    assert_words_fit(speech, text)
