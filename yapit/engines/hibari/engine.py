"""The default voice: hibari, a small neural engine that needs no network. English, 24 kHz.

This file is what web processes see of it: revision, voices, parameters. The model is in model.py.
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
from yapit.engines.parameters import Options, parse_parameters

if TYPE_CHECKING:
    from yapit.engines.hibari.model import Model

OURS = "1"  # raise when this code makes the same model sound different
# What a text can trip in the pronunciation rules; anything else is our fault or the machine's.
TRIPPED = (LookupError, ValueError, ArithmeticError, TypeError, AttributeError, RecursionError)


class HibariOptions(Options, frozen=True):
    speed: Annotated[float, Meta(ge=0.5, le=2.0)] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0  # of the noise in the voice: the same bytes every time


class HibariEngine:
    codec = opus.CODEC

    def __init__(self, slug: str) -> None:
        self.slug = slug
        self.revision = _revision()
        self._models: dict[str, Model] = {}

    @classmethod
    def voices(cls) -> tuple[VoiceSpec, ...]:
        """Those whose model is on this machine; nothing is ever downloaded."""
        return tuple(
            VoiceSpec(name, name.capitalize(), about["language"], about["gender"])
            for name, about in registry().items()
            if model_path(about).is_file()
        )

    def warm(self) -> None:
        # An invented word loads the network that reads those, too
        for voice in self.voices():
            self.synthesize("Ready to read yapitonian.", voice=voice.slug, parameters={})

    def synthesize(self, text: str, *, voice: str, parameters: Mapping[str, object]) -> Speech:
        check_text(text)
        options = parse_parameters(HibariOptions, parameters)
        model = self._model(voice)
        try:
            samples, words = model.speak(text, speed=options.speed, seed=options.seed)
        except TRIPPED as exc:
            # Without the cause: its message may quote the text
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
    """Package, our own settings, and the model as it really is on disk (10 ms, once)."""
    bundled = next(about for about in registry().values() if about.get("bundled"))
    digest = hashlib.sha256(model_path(bundled).read_bytes()).hexdigest()
    return f"hibari-{version('hibari-tts')}-{digest[:12]}-{OURS}"
