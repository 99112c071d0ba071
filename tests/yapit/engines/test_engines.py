"""What holds for every engine: cheap identity, voices with valid parameters, texts refused."""

import subprocess
import sys

import pytest

from yapit.engines import MAX_CHARACTERS, EngineError, check_text, engine_class, engine_identity

PATHS = ["yapit.engines.tone.engine.ToneEngine", "yapit.engines.hibari.engine.HibariEngine"]


@pytest.mark.parametrize("path", PATHS)
def test_an_identity_costs_no_heavy_import(path):
    code = (
        "import sys; from yapit.engines import *; "
        f"print(*engine_identity({path!r})); engine_class({path!r}).voices(); "
        "print(*{'numpy', 'av', 'onnxruntime', 'hibari', 'django'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == f"{' '.join(engine_identity(path))}\n\n"


@pytest.mark.parametrize("path", PATHS)
def test_voices_have_slugs_of_their_own(path):
    voices = engine_class(path).voices()

    assert len({voice.slug for voice in voices}) == len(voices) > 0


def test_text_that_no_header_can_carry_is_refused():
    with pytest.raises(EngineError) as caught:
        check_text("lone \ud800 surrogate")

    assert caught.value.code == "bad_text"


def test_overlong_text_is_refused():
    with pytest.raises(EngineError) as caught:
        check_text("x" * (MAX_CHARACTERS + 1))

    assert caught.value.code == "text_too_long"
