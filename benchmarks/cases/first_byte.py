"""First byte: from `synthesize` on a WebSocket to the first byte of audio over HTTP; hibari, not cached."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.closed_loop import percentile
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.sentences import make_sentence
from benchmarks.servers import launched_stack
from yapit.audio import opus
from yapit.engines import read_stream
from yapit.engines.hibari import HibariEngine
from yapit.load import Listener, SimulatedPlayback, run_playback

CHARACTERS = 80
WARM_UP = 5  # requests that are not counted
TARGET_MS = 150
ONE_BY_ONE = SimulatedPlayback(speed=10_000, ahead=0, fetch=True)  # without pauses


@benchmark("first_byte")
def first_byte(size: Size) -> Iterator[Figure]:
    count = size.pick(50, 300)
    with launched_stack(BLOCKS_PER_MINUTE="10000") as stack:  # all of one account
        from benchmarks.factories import make_accounts, make_document

        chance = random.Random()  # new ones every time, since the limit speaks them as well
        sentences = [make_sentence(chance, CHARACTERS) for _ in range(WARM_UP + count)]
        account = make_accounts(1)[0]
        document_id = make_document(account, sentences)
        stack.start_all("hibari")
        listener = Listener(account.token, document_id, len(sentences))
        measurements = asyncio.run(run_playback(stack.url, [listener], ONE_BY_ONE))
    if measurements.errors:
        raise RuntimeError(f"not spoken: {measurements.errors}")
    waits = measurements.first_byte[WARM_UP:]
    alone = engine_alone(sentences)[WARM_UP:]
    for percent in (50, 95):
        yield Figure(
            f"first_byte.p{percent}",
            percentile(waits, percent) * 1000,
            "ms",
            "lower",
            target=TARGET_MS if percent == 50 else None,
            limit=percentile(alone, percent) * 1000,
        )


def engine_alone(sentences: Sequence[str]) -> list[float]:
    """Synthesis and encoding in this process, with nothing else running."""
    engine = HibariEngine("hibari")
    engine.warm()
    voice = engine.voices()[0].slug
    return [_seconds(engine, text, voice) for text in sentences]


def _seconds(engine: HibariEngine, text: str, voice: str) -> float:
    begun = time.perf_counter()
    chunks = read_stream(engine.synthesize(text, voice, {})).chunks
    opus.encode(np.concatenate([chunk.samples for chunk in chunks]))
    return time.perf_counter() - begun
