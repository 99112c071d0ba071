"""HibariEngine: revision, voices and options of the default engine. English, 24 kHz, offline.

Web processes import this module; the model (model.py) is loaded in workers only.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from yapit.engines.contract import (
    END,
    Capabilities,
    Chunk,
    EngineError,
    SpeechItem,
    VoiceSpec,
    check_text,
)
from yapit.engines.hibari.assets import model_path, registry
from yapit.engines.options import EngineOptions, Seed, Speed, parse_options

if TYPE_CHECKING:
    from yapit.engines.hibari.model import Model

CODE_REVISION = "1"  # to be raised when a change of this code changes the sound
SAMPLE_RATE = 24_000
NEEDED = ("hibari", "onnxruntime", "numpy", "scipy")
# Errors that a text can cause in the pronunciation rules; all others are faults of this code or the machine.
TEXT_ERRORS = (LookupError, ValueError, ArithmeticError, TypeError, AttributeError, RecursionError)


class HibariOptions(EngineOptions, frozen=True):
    speed: Speed = 1.0
    seed: Seed = 0  # of the noise in the voice


class HibariEngine:
    capabilities = Capabilities(
        languages=frozenset({"en-US", "en-GB"}), word_timings=True, speed=True, streams=True
    )

    def __init__(self, slug: str) -> None:
        self.slug = slug
        self._models: dict[str, Model] = {}

    @property
    def revision(self) -> str:
        return _revision()

    def check(self) -> str | None:
        missing = [name for name in NEEDED if find_spec(name) is None]
        if missing:
            return f"The Python packages of hibari are not installed: {', '.join(missing)}."
        if not self.voices():
            return "There is no model file of a hibari voice on this machine."
        return None

    def voices(self) -> tuple[VoiceSpec, ...]:
        """The voices whose model is on this machine."""
        return tuple(
            VoiceSpec(name, name.capitalize(), about["language"], about["gender"])
            for name, about in registry().items()
            if model_path(about).is_file()
        )

    def warm(self) -> None:
        # The invented word also loads the network that pronounces unknown words.
        for voice in self.voices():
            for _ in self.synthesize("Ready to read yapitonian.", voice.slug, {}):
                pass

    def synthesize(self, text: str, voice: str, options: Mapping[str, object]) -> Iterator[SpeechItem]:
        """Yields a chunk for each sentence."""
        check_text(text)
        chosen = parse_options(HibariOptions, options)
        model = self._model(voice)
        try:
            for samples, words in model.speak(text, speed=chosen.speed, seed=chosen.seed):
                yield Chunk(samples, SAMPLE_RATE, words)
        except TEXT_ERRORS as exc:
            # Without the cause, whose message may quote the text.
            raise EngineError(f"the engine tripped over the text ({type(exc).__name__})") from None
        yield END

    def _model(self, voice: str) -> "Model":
        from yapit.engines.hibari.model import Model

        if voice not in self._models:
            about = registry().get(voice)
            if about is None or not model_path(about).is_file():
                raise EngineError("no such voice on this machine", "unknown_voice")
            self._models[voice] = Model(model_path(about), british=about["british"])
        return self._models[voice]


@cache
def _revision() -> str:
    """Version of the package, digest of the model file (takes 10 ms, once) and revision of this code."""
    bundled = next(about for about in registry().values() if about.get("bundled"))
    digest = hashlib.sha256(model_path(bundled).read_bytes()).hexdigest()
    return f"hibari-{version('hibari-tts')}-{digest[:12]}-{CODE_REVISION}"
