"""HibariEngine: revision, voices and parameters of the default engine. English, 24 kHz, offline.

Web processes import this module; the model (model.py) is loaded in workers only.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from yapit.audio import opus
from yapit.engines.contract import SILENCE, EngineError, Speech, VoiceSpec, check_text
from yapit.engines.encoding import encode
from yapit.engines.hibari.assets import model_path, registry
from yapit.engines.parameters import EngineOptions, parse_parameters

if TYPE_CHECKING:
    from yapit.engines.hibari.model import Model

CODE_REVISION = "1"  # to be raised when a change of this code changes the sound
# Errors that a text can cause in the pronunciation rules; all others are faults of this code or the machine.
TEXT_ERRORS = (LookupError, ValueError, ArithmeticError, TypeError, AttributeError, RecursionError)


class HibariOptions(EngineOptions, frozen=True):
    speed: Annotated[float, Meta(ge=0.5, le=2.0)] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0  # of the noise in the voice


class HibariEngine:
    codec = opus.CODEC

    def __init__(self, slug: str) -> None:
        self.slug = slug
        self.revision = _revision()
        self._models: dict[str, Model] = {}

    @classmethod
    def voices(cls) -> tuple[VoiceSpec, ...]:
        """The voices whose model is on this machine."""
        return tuple(
            VoiceSpec(name, name.capitalize(), about["language"], about["gender"])
            for name, about in registry().items()
            if model_path(about).is_file()
        )

    def warm(self) -> None:
        # The invented word also loads the network that pronounces unknown words.
        for voice in self.voices():
            self.synthesize("Ready to read yapitonian.", voice=voice.slug, parameters={})

    def synthesize(self, text: str, *, voice: str, parameters: Mapping[str, object]) -> Speech:
        check_text(text)
        options = parse_parameters(HibariOptions, parameters)
        model = self._model(voice)
        try:
            samples, words = model.speak(text, speed=options.speed, seed=options.seed)
        except TEXT_ERRORS as exc:
            # Without the cause, whose message may quote the text.
            raise EngineError(f"the engine tripped over the text ({type(exc).__name__})") from None
        if not samples.size:
            return SILENCE
        return Speech(encode(samples), opus.milliseconds(samples.size), words)

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
