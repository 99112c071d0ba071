"""From `synthesize` on an open WebSocket to the first byte of audio over HTTP: hibari, nothing cached."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence

from benchmarks.closed_loop import percentile
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack
from yapit.engines.hibari import HibariEngine
from yapit.load import Listener, Playback, run_playback

CHARACTERS = 80
WARM = 5  # requests that do not count
TARGET_MS = 150
ONE_BY_ONE = Playback(speed=10_000, ahead=0, fetch=True)  # the next as soon as one is there


@benchmark("first_byte")
def first_byte(size: Size) -> Iterator[Figure]:
    count = size.pick(50, 300)
    with launched_stack(BLOCKS_PER_MINUTE="10000") as stack:  # one listener asks for all
        from benchmarks.factories import make_accounts, make_document, make_sentence

        chance = random.Random()  # others every time: the limit below speaks them, too
        sentences = [make_sentence(chance, CHARACTERS) for _ in range(WARM + count)]
        account = make_accounts(1)[0]
        document_id = make_document(account, sentences)
        stack.start_all("hibari")
        listener = Listener(account.token, document_id, len(sentences))
        played = asyncio.run(run_playback(stack.url, [listener], ONE_BY_ONE))
    if played.errors:
        raise RuntimeError(f"not spoken: {played.errors}")
    waits = played.first_byte[WARM:]
    alone = engine_alone(sentences)[WARM:]
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
    engine.synthesize(text, voice=voice, parameters={})
    return time.perf_counter() - begun
