"""From `synthesize` on an open WebSocket to the first byte of audio over HTTP: hibari, nothing cached."""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Sequence

from benchmarks.closed_loop import percentile
from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack
from yapit.client.thin import ThinSocket
from yapit.client.thin_http import ThinHttp
from yapit.engines.hibari import HibariEngine

CHARACTERS = 80
WARM = 5  # requests that do not count
TARGET_MS = 150


@benchmark("first_byte")
def first_byte(size: Size) -> Iterator[Figure]:
    count = size.pick(50, 300)
    with launched_stack(BLOCKS_PER_MINUTE="10000") as stack:  # one listener asks for all
        from benchmarks.making import make_accounts, make_document, make_sentence

        chance = random.Random()  # others every time: the limit below speaks them, too
        sentences = [make_sentence(chance, CHARACTERS) for _ in range(WARM + count)]
        account = make_accounts(1)[0]
        document_id = make_document(account, sentences)
        stack.start_all("hibari")
        asking = ask_one_by_one(stack.url, account.token, document_id, len(sentences))
        waits = asyncio.run(asking)[WARM:]
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


async def ask_one_by_one(url: str, token: str, document_id: str, count: int) -> list[float]:
    frames: asyncio.Queue[bytes] = asyncio.Queue()
    socket = await ThinSocket.open(url, token, lambda text: frames.put_nowait(bytes(text)), _closed)
    audio = await ThinHttp.open(url, token)
    waits = []
    for index in range(count):
        message = {
            "type": "synthesize",
            "document_id": document_id,
            "block_indices": [index],
            "priority": "playing",
        }
        begun = time.perf_counter()
        socket.send(json.dumps(message).encode())
        while (status := json.loads(await frames.get()))["status"] == "queued":
            pass
        if status["status"] != "cached":
            raise RuntimeError(f"not spoken: {status}")
        waits.append(await audio.get(status["audio_url"]) - begun)
    await audio.close()
    await socket.close()
    return waits


def _closed(code: int) -> None:
    """What is missing then is said by the benchmark's own time limit."""


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
