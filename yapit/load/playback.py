"""Playback load: each listener plays, reads ahead, seeks and fetches audio like the reader page."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from yapit import protocol
from yapit.client import AHEAD, RETRYABLE_REFUSALS, ReadAhead
from yapit.load.measurements import Measurements
from yapit.load.raw_http import RawHttp
from yapit.load.simulation import RETRY_SECONDS, Listener, SimulatedListener, run
from yapit.protocol import CursorMoved, Synthesize

REQUEST_SECONDS = 0.5  # between requests of blocks that were refused for the moment
FETCH_AHEAD = 4  # cached blocks whose audio is fetched, as by the reader page

_decode: Callable[[memoryview], protocol.ServerMessage] = msgspec.json.Decoder(protocol.ServerMessage).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class SimulatedPlayback:
    """How listeners play their documents."""

    speed: float = 1.0
    ahead: int = AHEAD  # blocks requested after the one that plays
    seeks: float = 0.0  # probability of a seek after each block
    fetch: bool = False  # fetch the audio as well


class PlaybackListener(SimulatedListener):
    """Plays like the reader page: the current block first, the read-ahead after it, then the next block."""

    def __init__(self, listener: Listener, measurements: Measurements, playback: SimulatedPlayback) -> None:
        super().__init__(listener, measurements)
        self._playback = playback
        self._blocks = ReadAhead(listener.blocks, ahead=playback.ahead)
        self._document_id = UUID(listener.document_id)
        self._audio: RawHttp | None = None
        self._requested_at: dict[int, float] = {}
        self._unfetched: dict[int, protocol.Status] = {}  # cached blocks too far ahead to be fetched
        self._ready: dict[int, int] = {}  # ms from each playable block to the next
        self._silent_since = 0.0
        self._is_playing = False
        self._is_silent = True  # since the beginning or since a seek
        self._play_count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, url: str, *, is_batched: bool) -> None:
        await super().connect(url, is_batched=is_batched)
        if self._playback.fetch:
            self._audio = await RawHttp.open(url, self.listener.token)

    async def close(self) -> None:
        await super().close()
        for task in self._tasks:
            task.cancel()
        if self._audio:
            await self._audio.close()

    def begin(self) -> None:
        self._silent_since = time.perf_counter()
        self.request_due()

    def request_due(self) -> None:
        """Request and fetch all blocks that are due. Also called regularly, for refused blocks."""
        now = time.perf_counter()
        model, voice = self.listener.model, self.listener.voice
        for request in self._blocks.take_requests(now):
            indices = list(request.indices)
            for index in indices:
                self._requested_at.setdefault(index, now)
            self._send(_encode(Synthesize(self._document_id, indices, model, voice, request.priority)))
        for index in self._blocks_to_fetch():
            if self._audio and (status := self._unfetched.pop(index, None)):
                self._fetch(self._audio, status, None)

    def _blocks_to_fetch(self) -> range:
        return self._blocks.window()[:FETCH_AHEAD]

    def _on_text(self, text: memoryview) -> None:
        message = _decode(text)
        match message:
            case protocol.Status():
                self._on_status(message)
            case protocol.Statuses():
                for status in message.statuses:
                    self._on_status(status)
            case protocol.Evicted():
                self._blocks.evicted(message.block_indices)
            case protocol.Error(code=code) if code in RETRYABLE_REFUSALS:
                self.measurements.refused += len(message.block_indices or ())
                self._blocks.hold(time.perf_counter() + (message.retry_after or RETRY_SECONDS))
                self._blocks.drop(message.block_indices)
            case protocol.Error():
                self._end(RuntimeError(f"refused: {message.code}"))

    def _on_status(self, status: protocol.Status) -> None:
        now, index = time.perf_counter(), status.block_idx
        if not self._blocks.receive(status, now) or not self._blocks.has_ended(index):
            return
        requested_at = self._requested_at.pop(index, None)
        if status.status == "error":
            self.measurements.errors[status.code or status.status] += 1
        if status.status == "cached":
            if requested_at is not None:  # None: requested before a seek
                self.measurements.cached.append(now - requested_at)
            if self._audio:
                if index in self._blocks_to_fetch():
                    self._fetch(self._audio, status, requested_at or now)
                else:
                    self._unfetched[index] = status
                return
        self._on_ready(status)

    def _fetch(self, audio: RawHttp, status: protocol.Status, requested_at: float | None) -> None:
        task = asyncio.create_task(self._fetch_audio(audio, status, requested_at))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch_audio(self, audio: RawHttp, status: protocol.Status, requested_at: float | None) -> None:
        try:
            first_byte_at = await audio.get(str(status.audio_url))
            if requested_at is not None:
                self.measurements.first_byte.append(first_byte_at - requested_at)
        except OSError:
            self.measurements.errors["audio_not_fetched"] += 1
        self._on_ready(status)

    def _on_ready(self, status: protocol.Status) -> None:
        index = status.block_idx
        self._ready[index] = (status.duration_ms or 0) + (status.pause_ms or 0)
        if index == self._blocks.cursor and not self._is_playing:
            if self._is_silent:
                self.measurements.silences.append(time.perf_counter() - self._silent_since)
            self._play()

    def _play(self) -> None:
        self._is_playing, self._is_silent = True, False
        seconds = self._ready[self._blocks.cursor] / 1000 / self._playback.speed
        asyncio.get_running_loop().call_later(seconds, self._on_played)

    def _on_played(self) -> None:
        """Continue with the next block, or after a seek with another one."""
        self._is_playing = False
        self._play_count += 1
        if self.done.done() or self._play_count >= self.listener.blocks:
            self._end()
            return
        if random.random() < self._playback.seeks:  # noqa: S311  # not a secret
            self._seek(random.randrange(self.listener.blocks))  # noqa: S311
        else:
            self._blocks.move((self._blocks.cursor + 1) % self.listener.blocks)
        self.request_due()
        if self._blocks.cursor in self._ready:
            self._play()
        elif not self._is_silent:
            self.measurements.underruns += 1

    def _seek(self, index: int) -> None:
        self.measurements.seeks += 1
        self._is_silent, self._silent_since = True, time.perf_counter()
        self._requested_at.clear()
        if self._blocks.seek(index):
            self._send(_encode(CursorMoved(self._document_id, index)))


async def run_playback(
    url: str,
    listeners: Sequence[Listener],
    playback: SimulatedPlayback,
    *,
    is_batched: bool = False,
    timeout: float = 3600.0,
) -> Measurements:
    """Play until each listener has played as many blocks as its document has. Raises as `run_closed_loop`."""
    measurements = Measurements()
    simulated = [PlaybackListener(listener, measurements, playback) for listener in listeners]
    requesting = asyncio.create_task(_request_regularly(simulated))
    try:
        async with asyncio.timeout(timeout):
            await run(url, simulated, measurements, is_batched=is_batched)
    finally:
        requesting.cancel()
    return measurements


async def _request_regularly(listeners: Sequence[PlaybackListener]) -> None:
    while True:
        await asyncio.sleep(REQUEST_SECONDS)
        for listener in listeners:
            if listener.socket and not listener.done.done():
                listener.request_due()
