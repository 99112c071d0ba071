"""First sound: from `synthesize` to the first sample above -40 dBFS of the audio that is fetched; hibari."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.cases.first_byte import CHARACTERS, ONE_BY_ONE, WARM_UP
from benchmarks.closed_loop import percentile
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.sentences import make_sentence
from benchmarks.servers import launched_stack
from yapit.audio import opus
from yapit.audio.joining import decoded
from yapit.audio.rendering import Samples
from yapit.client import Client
from yapit.engines import read_stream
from yapit.engines.hibari import HibariEngine
from yapit.load import Listener, run_playback

AUDIBLE = 10 ** (-40 / 20)
ALLOWED_MS = 40  # above synthesis and encoding alone


@benchmark("first_sound")
def first_sound(size: Size) -> Iterator[Figure]:
    count = size.pick(50, 300)
    with launched_stack(BLOCKS_PER_MINUTE="10000") as stack:
        from benchmarks.factories import make_accounts, make_document

        chance = random.Random()
        sentences = [make_sentence(chance, CHARACTERS) for _ in range(WARM_UP + count)]
        account = make_accounts(1)[0]
        document_id = make_document(account, sentences)
        stack.start_all("hibari")
        listener = Listener(account.token, document_id, len(sentences))
        measurements = asyncio.run(run_playback(stack.url, [listener], ONE_BY_ONE))
        if measurements.errors:
            raise RuntimeError(f"not spoken: {measurements.errors}")
        files = asyncio.run(fetched(stack.url, account.token, document_id))
    silences = [silence(decoded(audio)) for audio in files]
    pairs = list(zip(measurements.first_byte, silences, strict=True))[WARM_UP:]
    sounds = [first_byte + quiet for first_byte, quiet in pairs]
    alone = [spoken_alone(text) for text in sentences][WARM_UP:]
    before = [first + each.silence for (first, _), each in zip(pairs, alone, strict=True)]
    limit = median(each.seconds for each in alone) * 1000
    yield Figure(
        "first_sound.p50",
        median(sounds) * 1000,
        "ms",
        "lower",
        target=limit + ALLOWED_MS,
        baseline=median(before) * 1000,
        limit=limit,
    )
    yield Figure("first_sound.p95", percentile(sounds, 95) * 1000, "ms", "lower")
    yield Figure("first_sound.silence", median(silences[WARM_UP:]) * 1000, "ms", "lower")


async def fetched(url: str, token: str, document_id: str) -> Sequence[bytes]:
    """The audio of all blocks, which is cached by now."""
    async with Client(url, token) as client:
        return [block.audio async for block in client.speak(document_id)]


def silence(samples: Samples) -> float:
    """Seconds before the first audible sample."""
    return int(np.argmax(np.abs(samples) > AUDIBLE)) / opus.SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Alone:
    seconds: float  # of synthesis and encoding
    silence: float  # at the head of the engine's samples


_engine = HibariEngine("hibari")


def spoken_alone(text: str) -> Alone:
    """Synthesis and encoding in this process, with nothing else running and without the audio room."""
    begun = time.perf_counter()
    chunks = read_stream(_engine.synthesize(text, _engine.voices()[0].slug, {})).chunks
    samples = np.concatenate([chunk.samples for chunk in chunks])
    opus.encode(samples)
    return Alone(time.perf_counter() - begun, silence(samples))
