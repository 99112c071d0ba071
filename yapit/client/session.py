"""Session: reads the blocks of one document over one reconnecting WebSocket."""

import asyncio
import math
import re
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import msgspec

from yapit.client.errors import Refused
from yapit.client.read_ahead import ENDED, ReadAhead
from yapit.client.reconnecting_socket import SYNTHESIS_PATH, ReconnectingSocket
from yapit.client.socket_session import SocketSession
from yapit.protocol import CursorMoved, Error, Evicted, Options, ServerMessage, Status, Statuses, Synthesize

TICK_SECONDS = 0.25
# Codes of `error` messages.
RETRYABLE_REFUSALS = frozenset({"rate_limited", "too_many_documents", "unavailable", "busy"})
LONGEST_HOLD = 60.0
# The key is sent along, so no other address is fetched.
AUDIO_URL = re.compile(r"/v1/audio/[0-9a-f]{64}")

_encode = msgspec.json.Encoder().encode
OnStatus = Callable[[Status], None]


class Session(SocketSession):
    def __init__(
        self,
        url: str,
        key: str,
        document_id: UUID,
        blocks: ReadAhead,
        *,
        model: str | None = None,
        voice: str | None = None,
        patience: float,
        on_status: OnStatus | None = None,
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self._socket = ReconnectingSocket(
            url, key, self, path=SYNTHESIS_PATH, messages=ServerMessage, patience=patience
        )
        self._document_id, self._model, self._voice = document_id, model, voice
        self._on_status = on_status

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        return [self._socket.run(), self._tick()]

    async def outcome(self, index: int) -> Status:
        """Wait for the terminal status of a block of the window."""
        while True:
            block = self.blocks.block(index)
            if block.state in ENDED and block.status is not None:
                return block.status
            await self.wait_for_message()

    async def move(self, index: int) -> None:
        self.blocks.move(index)
        await self._send_requests()

    async def seek(self, index: int) -> None:
        if self.blocks.seek(index):
            await self._socket.send(_encode(CursorMoved(self._document_id, index)))
        await self._send_requests()

    async def audio_lost(self, index: int) -> bool:
        """Request a block again whose audio was gone. False: that happened too often."""
        is_requested = self.blocks.audio_lost(index)
        await self._send_requests()
        return is_requested

    # --- FrameHandler -----------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        return self.blocks.is_complete

    async def on_open(self) -> None:
        self.blocks.reconnected()
        await self._socket.send(_encode(Options(batched=True)))
        await self._send_requests()

    async def on_gap(self) -> None:
        self.blocks.reset_pending()
        await self._send_requests()

    async def on_message(self, message: ServerMessage) -> None:
        match message:
            case Status():
                self._receive_status(message)
            case Statuses():
                for status in message.statuses:
                    self._receive_status(status)
            case Evicted():
                self.blocks.evicted(message.block_indices)
            case Error():
                self._on_error(message)
        self._received.set()

    def _receive_status(self, status: Status) -> None:
        if status.document_id != self._document_id:
            return
        if status.status == "cached" and not AUDIO_URL.fullmatch(status.audio_url or ""):
            self._socket.unreadable_frames += 1
            return
        if self.blocks.receive(status, time.monotonic()) and self._on_status:
            self._on_status(status)

    def _on_error(self, error: Error) -> None:
        if error.code not in RETRYABLE_REFUSALS:
            self._fail(Refused(error.code, error.error, retry_after=error.retry_after))
            return
        wait = error.retry_after if error.retry_after and math.isfinite(error.retry_after) else 1.0
        self.blocks.hold(time.monotonic() + min(max(wait, TICK_SECONDS), LONGEST_HOLD))
        self.blocks.drop(error.block_indices)

    async def _send_requests(self) -> None:
        if self._socket.is_open:
            for request in self.blocks.take_requests(time.monotonic()):
                indices = list(request.indices)
                message = Synthesize(self._document_id, indices, self._model, self._voice, request.priority)
                await self._socket.send(_encode(message))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self._socket.is_open:
                continue
            if self.blocks.check_timeouts(time.monotonic()):
                self._socket.restart()
            else:
                await self._send_requests()
