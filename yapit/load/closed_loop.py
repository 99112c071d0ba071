"""Closed-loop load: each listener requests its next blocks as soon as the previous ones have ended."""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from yapit.client import RETRYABLE_REFUSALS
from yapit.load.measurements import Measurements
from yapit.load.simulation import RETRY_SECONDS, Listener, SimulatedListener, run

# --- The fields of the protocol's messages that are needed here; decoding them takes less time ----------


class _Status(msgspec.Struct, tag="status"):
    block_idx: int
    status: str
    code: str | None = None


class _Statuses(msgspec.Struct, tag="statuses"):
    statuses: list[_Status]


class _Evicted(msgspec.Struct, tag="evicted"):
    pass


class _Error(msgspec.Struct, tag="error"):
    code: str
    block_indices: list[int] | None = None
    retry_after: float | None = None


class _Request(msgspec.Struct, tag="synthesize", omit_defaults=True):
    document_id: str
    block_indices: list[int]
    model: str | None = None
    voice: str | None = None


_decode = msgspec.json.Decoder(_Status | _Statuses | _Evicted | _Error).decode
_encode = msgspec.json.Encoder().encode


class ClosedLoopListener(SimulatedListener):
    """Requests `at_once` blocks, and the next ones when all of them have ended."""

    def __init__(self, listener: Listener, measurements: Measurements, at_once: int) -> None:
        super().__init__(listener, measurements)
        self._at_once = at_once
        self._requested_at: dict[int, float] = {}
        self._next = 0

    def begin(self) -> None:
        until = min(self._next + self._at_once, self.listener.blocks)
        if until == self._next:
            self._end()
            return
        indices = list(range(self._next, until))
        self._requested_at = dict.fromkeys(indices, time.perf_counter())
        self._next = until
        self._request(indices)

    def _request(self, indices: list[int]) -> None:
        listener = self.listener
        self._send(_encode(_Request(listener.document_id, indices, listener.model, listener.voice)))

    def _on_text(self, text: memoryview) -> None:
        frame = _decode(text)
        if isinstance(frame, _Status):
            self._on_status(frame)
        elif isinstance(frame, _Statuses):
            for status in frame.statuses:
                self._on_status(status)
        elif isinstance(frame, _Error):
            self._on_refusal(frame.code, frame.block_indices or list(self._requested_at), frame.retry_after)

    def _on_status(self, status: _Status) -> None:
        if status.status == "queued":
            return
        if status.status == "error" and status.code in RETRYABLE_REFUSALS:
            self._on_refusal(status.code, [status.block_idx], None)
            return
        requested_at = self._requested_at.pop(status.block_idx, None)
        if requested_at is None:
            return
        if status.status == "cached":
            self.measurements.cached.append(time.perf_counter() - requested_at)
        else:
            self.measurements.errors[status.code or status.status] += 1
        if not self._requested_at:
            self.begin()

    def _on_refusal(self, code: str, indices: list[int], retry_after: float | None) -> None:
        if code not in RETRYABLE_REFUSALS:
            self._end(RuntimeError(f"refused: {code}"))
            return
        self.measurements.refused += len(indices)
        asyncio.get_running_loop().call_later(retry_after or RETRY_SECONDS, self._request, indices)


async def run_closed_loop(
    url: str,
    listeners: Sequence[Listener],
    *,
    at_once: int = 8,
    is_batched: bool = False,
    timeout: float = 120.0,
) -> Measurements:
    """Request all blocks of all listeners, `at_once` at a time for each, without fetching the audio.

    Raises TimeoutError, OSError (no connection) or RuntimeError (a request was refused for good).
    """
    measurements = Measurements()
    simulated = [ClosedLoopListener(listener, measurements, at_once) for listener in listeners]
    async with asyncio.timeout(timeout):
        await run(url, simulated, measurements, is_batched=is_batched)
    return measurements
