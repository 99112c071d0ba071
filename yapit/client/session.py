"""One reading of one document over one line: asks, hears, resumes, and knows what became of each block."""

import asyncio
import math
import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from uuid import UUID

import msgspec

from yapit.client.errors import ClientError, Refused
from yapit.client.read_ahead import ENDED, Reading
from yapit.client.reconnecting_socket import Line
from yapit.protocol import CursorMoved, Error, Evicted, Options, ServerMessage, Status, Statuses, Synthesize

TICK_SECONDS = 0.25
COME_BACK = frozenset({"rate_limited", "too_many_documents", "unavailable", "busy"})
LONGEST_HOLD = 60.0
# Nothing else is fetched, whatever a server says: the key goes along.
AUDIO_URL = re.compile(r"/v1/audio/[0-9a-f]{64}")

_encode = msgspec.json.Encoder().encode
OnStatus = Callable[[Status], None]


class Session:
    """A context manager. `outcome` raises what ended the line for good."""

    def __init__(
        self,
        url: str,
        key: str,
        document_id: UUID,
        reading: Reading,
        *,
        model: str | None = None,
        voice: str | None = None,
        patience: float,
        on_status: OnStatus | None = None,
    ) -> None:
        self.reading = reading
        self.line = Line(url, key, self, patience=patience)
        self._document_id, self._model, self._voice = document_id, model, voice
        self._on_status = on_status
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for work in (self.line.run(), self._tick()):
            task = asyncio.create_task(work)
            task.add_done_callback(self._ended)
            self._tasks.append(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Who still waits gets a ClientError. Repeatable."""
        self._fail(ClientError("This client is closed."))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def outcome(self, index: int) -> Status:
        """The status that ended a block of the window."""
        while True:
            entry = self.reading.entry(index)
            if entry.state in ENDED and entry.status is not None:
                return entry.status
            await self.changed()

    async def changed(self) -> None:
        """Until something was heard."""
        if self._failure:
            raise self._failure
        self._changed.clear()
        await self._changed.wait()

    async def move(self, index: int) -> None:
        self.reading.move(index)
        await self._pump()

    async def seek(self, index: int) -> None:
        if self.reading.seek(index):
            await self.line.send(_encode(CursorMoved(self._document_id, index)))
        await self._pump()

    async def heal(self, index: int) -> bool:
        """False: its audio was gone too often."""
        is_healing = self.reading.heal(index)
        await self._pump()
        return is_healing

    # --- What the line calls ----------------------------------------------------------------------------

    @property
    def is_content(self) -> bool:
        return self.reading.is_complete

    async def on_open(self) -> None:
        self.reading.reconnected()
        await self.line.send(_encode(Options(batched=True)))
        await self._pump()

    async def on_gap(self) -> None:
        self.reading.resume()
        await self._pump()

    async def on_message(self, message: ServerMessage) -> None:
        match message:
            case Status():
                self._take(message)
            case Statuses():
                for status in message.statuses:
                    self._take(status)
            case Evicted():
                self.reading.evicted(message.block_indices)
            case Error():
                self._turned_away(message)
        self._changed.set()

    # --- Inside -----------------------------------------------------------------------------------------

    def _take(self, status: Status) -> None:
        if status.document_id != self._document_id:
            return
        if status.status == "cached" and not AUDIO_URL.fullmatch(status.audio_url or ""):
            self.line.unreadable += 1
            return
        if self.reading.receive(status, time.monotonic()) and self._on_status:
            self._on_status(status)

    def _turned_away(self, error: Error) -> None:
        if error.code not in COME_BACK:
            self._fail(Refused(error.code, error.error, retry_after=error.retry_after))
            return
        wait = error.retry_after if error.retry_after and math.isfinite(error.retry_after) else 1.0
        self.reading.hold(time.monotonic() + min(max(wait, TICK_SECONDS), LONGEST_HOLD))
        self.reading.drop(error.block_indices)

    async def _pump(self) -> None:
        if self.line.is_open:
            for wish in self.reading.wishes(time.monotonic()):
                indices = list(wish.indices)
                message = Synthesize(self._document_id, indices, self._model, self._voice, wish.priority)
                await self.line.send(_encode(message))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self.line.is_open:
                continue
            if self.reading.look_for_silence(time.monotonic()):
                self.line.restart()
            else:
                await self._pump()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._changed.set()
