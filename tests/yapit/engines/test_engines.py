"""Rules for every engine in the settings: cheap identity, unique voices, truthful capabilities."""

import subprocess
import sys

import pytest
from django.conf import settings

from tests.yapit.engines.speaking import assert_words_fit, speak
from yapit.engines import (
    MAX_CHARACTERS,
    Chunk,
    EncodedFile,
    End,
    EngineError,
    check_text,
    load_engine,
)

SLUGS = sorted(settings.ENGINES)
TEXT = "One sentence is here. Another one follows it."


@pytest.fixture(params=SLUGS)
def engine(request):
    return load_engine(request.param, settings.ENGINES[request.param])


@pytest.mark.parametrize("slug", SLUGS)
def test_reading_an_identity_imports_nothing_heavy(slug):
    code = (
        "import sys; from yapit.engines import *; "
        f"engine = load_engine({slug!r}, {settings.ENGINES[slug]!r}); "
        "print(engine.check(), engine.revision); engine.voices(); "
        "print(*{'numpy', 'av', 'onnxruntime', 'hibari', 'django'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == f"None {load_engine(slug, settings.ENGINES[slug]).revision}\n\n"


def test_options_that_an_instance_does_not_take_are_refused():
    with pytest.raises(TypeError):
        load_engine("tone", {**settings.ENGINES["tone"], "options": {"unknown": 1}})


def test_voices_have_unique_slugs_and_speak_the_languages_of_the_engine(engine):
    voices = engine.voices()

    assert len({voice.slug for voice in voices}) == len(voices) > 0
    languages = engine.capabilities.languages
    assert not languages or {voice.language for voice in voices} <= languages


def test_capabilities_are_true(engine):
    able = engine.capabilities
    for voice in engine.voices():
        *items, end = engine.synthesize(TEXT, voice.slug, {"delay_ms": 0} if engine.slug == "tone" else {})
        assert isinstance(end, End)
        assert {type(item) for item in items} <= {Chunk, EncodedFile}
        assert able.encoded or not any(isinstance(item, EncodedFile) for item in items)
        assert able.streams == (len(items) > 1)
        assert able.word_timings == any(item.words for item in items)
    assert able.concurrency >= 1 <= able.batch


def test_options_are_taken_as_the_capabilities_say(engine):
    voice = engine.voices()[0].slug
    for name, value in {"speed": 1.5, "instructions": "slowly"}.items():
        if getattr(engine.capabilities, name):
            assert speak(engine, TEXT, voice, **{name: value}).samples.size
        else:
            with pytest.raises(EngineError) as caught:
                speak(engine, TEXT, voice, **{name: value})
            assert caught.value.code == "bad_parameters"


def test_words_are_timed_from_the_beginning_of_all_chunks(engine):
    speech = speak(engine, TEXT, engine.voices()[0].slug)

    assert [word.text for word in speech.words] == TEXT.split()
    assert_words_fit(speech.words, speech.duration_ms, TEXT)


def test_text_that_is_not_valid_unicode_is_refused():
    with pytest.raises(EngineError) as caught:
        check_text("lone \ud800 surrogate")

    assert caught.value.code == "bad_text"


def test_text_that_is_too_long_is_refused():
    with pytest.raises(EngineError) as caught:
        check_text("x" * (MAX_CHARACTERS + 1))

    assert caught.value.code == "text_too_long"
