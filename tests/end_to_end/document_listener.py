"""Hears a whole document through the client, and decodes what it hears."""

import asyncio
import io
from dataclasses import dataclass

import av
import msgspec

from tests.waiting import PROCESS_PATIENCE
from yapit.client import Client


@dataclass(frozen=True)
class Decoded:
    duration_ms: float
    loudest: float  # 0..1


def hear(stack, document):
    """Every status that was told, in order, as on the wire."""
    return [msgspec.to_builtins(status) for status in asyncio.run(_hear(stack, document["id"]))]


async def _hear(stack, document_id):
    async with asyncio.timeout(10 * PROCESS_PATIENCE), Client(stack.url, stack.first_key) as client:
        return [status async for status in client.statuses(document_id)]


def ended(told):
    """How each block ended, by index: exactly once."""
    terminal = [status for status in told if status["status"] != "queued"]
    by_index = {status["block_idx"]: status for status in terminal}
    assert len(by_index) == len(terminal)
    return by_index


def decode(audio):
    """Raise when it does not decode to the end."""
    with av.open(io.BytesIO(audio)) as container:
        samples, loudest, rate = 0, 0.0, 48_000
        for frame in container.decode(audio=0):
            samples += frame.samples
            rate = frame.sample_rate
            loudest = max(loudest, float(abs(frame.to_ndarray()).max()))
    return Decoded(samples / rate * 1000, loudest)
