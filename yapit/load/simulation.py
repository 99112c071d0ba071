"""Simulation of many listeners in one process. Cheap: it usually shares the cores with the server.

Each listener has its own connection but no task: the handler of a frame sends the next request.
"""

import abc
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from yapit.load.measurements import Measurements
from yapit.load.raw_socket import RawSocket

CONNECTING = 20  # connections that are opened at the same time
RETRY_SECONDS = 0.25  # after a refusal without `retry_after`
BATCHED = b'{"type":"options","batched":true}'


@dataclass(frozen=True, slots=True)
class Listener:
    """An account and the document whose blocks 0 to blocks-1 it requests."""

    token: str
    document_id: str
    blocks: int
    model: str | None = None
    voice: str | None = None


class SimulatedListener(abc.ABC):
    """One listener on one connection. `done` ends with its last block, or with the error that ended it."""

    def __init__(self, listener: Listener, measurements: Measurements) -> None:
        self.listener, self.measurements = listener, measurements
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.socket: RawSocket | None = None

    async def connect(self, url: str, *, is_batched: bool) -> None:
        self.socket = await RawSocket.open(url, self.listener.token, self._on_text, self._on_close)
        if is_batched:
            self._send(BATCHED)

    async def close(self) -> None:
        self.done.cancel()
        if self.socket:
            await self.socket.close()

    @abc.abstractmethod
    def begin(self) -> None: ...

    @abc.abstractmethod
    def _on_text(self, text: memoryview) -> None: ...

    def _send(self, text: bytes) -> None:
        if self.socket and not self.done.done():
            self.socket.send(text)

    def _on_close(self, code: int) -> None:
        self._end(ConnectionError(f"closed with {code}"))

    def _end(self, reason: Exception | None = None) -> None:
        if not self.done.done():
            self.done.set_exception(reason) if reason else self.done.set_result(None)


async def run(
    url: str, listeners: Sequence[SimulatedListener], measurements: Measurements, *, is_batched: bool
) -> None:
    """Connect all listeners, then measure from their first request until the last one is done."""
    try:
        await _connect_all(url, listeners, is_batched=is_batched)
        begun, cpu = time.perf_counter(), time.process_time()
        for listener in listeners:
            listener.begin()
        await asyncio.gather(*(listener.done for listener in listeners))
        measurements.seconds = time.perf_counter() - begun
        measurements.cpu_seconds = time.process_time() - cpu
    finally:
        await asyncio.gather(*(listener.close() for listener in listeners))


async def _connect_all(url: str, listeners: Sequence[SimulatedListener], *, is_batched: bool) -> None:
    limit = asyncio.Semaphore(CONNECTING)

    async def connect(listener: SimulatedListener) -> None:
        async with limit:
            await listener.connect(url, is_batched=is_batched)

    await asyncio.gather(*map(connect, listeners))
