"""CPU time of the audio room for each second of audio: encoding, trimming, levelling, joining, measuring."""

import random
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.registry import Figure, Size, benchmark
from benchmarks.sentences import make_sentence
from yapit.audio import loudness, opus, rendering, shaping
from yapit.audio.joining import Joiner
from yapit.audio.rendering import Samples
from yapit.engines import read_stream
from yapit.engines.hibari import HibariEngine

CHARACTERS = 80
PAUSE_MS = 250
GAIN_DB = 8.0  # so that peaks are limited in some blocks, as with a real gain


@benchmark("audio_room")
def audio_room(size: Size) -> Iterator[Figure]:
    speeches = spoken(size.pick(20, 100))
    parts = [[(speech, opus.SAMPLE_RATE)] for speech in speeches]
    seconds = sum(speech.size for speech in speeches) / opus.SAMPLE_RATE
    level = np.float32(shaping.ratio(GAIN_DB))
    files = [rendering.render(part, gain_db=GAIN_DB) for part in parts]
    audio = [file.audio for file in files if file]
    steps: dict[str, Callable[[], object]] = {
        "encode": lambda: [opus.encode(speech) for speech in speeches],
        "trim": lambda: [shaping.faded(speech[shaping.sounding_part(speech)]) for speech in speeches],
        "level": lambda: [shaping.limited(speech * level) for speech in speeches],
        "join": lambda: joined(audio),
        "measure": lambda: [loudness.integrated(speech, opus.SAMPLE_RATE) for speech in speeches],
        "render": lambda: [rendering.render(part, gain_db=GAIN_DB) for part in parts],
    }
    used = {name: cpu(step) * 1000 / seconds for name, step in steps.items()}
    for name in ("encode", "trim", "level", "join", "measure"):
        yield Figure(f"audio_room.{name}", used[name], "ms/s", "lower")
    # Rendering encodes less than the engine's samples, since it has cut their silence.
    yield Figure("audio_room.render", used["render"], "ms/s", "lower", limit=used["encode"])


def spoken(count: int) -> Sequence[Samples]:
    """The samples of new sentences, as the engine returns them."""
    engine, chance = HibariEngine("hibari"), random.Random()
    engine.warm()
    voice = engine.voices()[0].slug
    sentences = [make_sentence(chance, CHARACTERS) for _ in range(count)]
    streams = [read_stream(engine.synthesize(sentence, voice, {})) for sentence in sentences]
    return [np.concatenate([chunk.samples for chunk in stream.chunks]) for stream in streams]


def joined(audio: Sequence[bytes]) -> bytes:
    joiner = Joiner()
    return b"".join([*(joiner.add(block, PAUSE_MS) for block in audio), joiner.close()])


def cpu(step: Callable[[], object]) -> float:
    """CPU seconds of the second of two runs."""
    step()
    begun = time.process_time()
    step()
    return time.process_time() - begun
