"""Rules for every engine: identity without heavy imports, unique voices, refused texts."""

import subprocess
import sys

import pytest

from yapit.engines import MAX_CHARACTERS, EngineError, check_text, engine_class, engine_identity

PATHS = ["yapit.engines.tone.ToneEngine", "yapit.engines.hibari.HibariEngine"]


@pytest.mark.parametrize("path", PATHS)
def test_reading_an_identity_imports_nothing_heavy(path):
    code = (
        "import sys; from yapit.engines import *; "
        f"print(*engine_identity({path!r})); engine_class({path!r}).voices(); "
        "print(*{'numpy', 'av', 'onnxruntime', 'hibari', 'django'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == f"{' '.join(engine_identity(path))}\n\n"


@pytest.mark.parametrize("path", PATHS)
def test_the_slugs_of_voices_are_unique(path):
    voices = engine_class(path).voices()

    assert len({voice.slug for voice in voices}) == len(voices) > 0


def test_text_that_is_not_valid_unicode_is_refused():
    with pytest.raises(EngineError) as caught:
        check_text("lone \ud800 surrogate")

    assert caught.value.code == "bad_text"


def test_text_that_is_too_long_is_refused():
    with pytest.raises(EngineError) as caught:
        check_text("x" * (MAX_CHARACTERS + 1))

    assert caught.value.code == "text_too_long"
