"""Listener of a whole document through the client, and decoder of its audio."""

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
    peak: float  # 0..1


def statuses_of(stack, document):
    """All statuses in order, as sent by the server."""
    return [msgspec.to_builtins(status) for status in asyncio.run(_statuses(stack, document["id"]))]


async def _statuses(stack, document_id):
    async with asyncio.timeout(10 * PROCESS_PATIENCE), Client(stack.url, stack.first_key) as client:
        return [status async for status in client.statuses(document_id)]


def terminal_statuses(statuses):
    """The terminal status of each block by index; fails if a block has several."""
    terminal = [status for status in statuses if status["status"] != "queued"]
    by_index = {status["block_idx"]: status for status in terminal}
    assert len(by_index) == len(terminal)
    return by_index


def decode(audio):
    """Decode a file completely, or raise."""
    with av.open(io.BytesIO(audio)) as container:
        samples, peak, rate = 0, 0.0, 48_000
        for frame in container.decode(audio=0):
            samples += frame.samples
            rate = frame.sample_rate
            peak = max(peak, float(abs(frame.to_ndarray()).max()))
    return Decoded(samples / rate * 1000, peak)
