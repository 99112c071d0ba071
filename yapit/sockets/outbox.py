"""Outbox of one WebSocket: messages wait here, and leave as numbered frames in their order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

from yapit import protocol
from yapit.realtime.background import BackgroundTasks

LIMIT = 1000  # messages that a slow reader may leave unread
BATCH = 64  # statuses in one frame

SendFrame = Callable[[dict[str, Any]], Awaitable[None]]


class Outbox:
    """Frames are numbered from 1: a gap shows a loss."""

    __slots__ = (
        "_background",
        "_is_flush_due",
        "_is_flushing",
        "_messages",
        "_send",
        "_seq",
        "is_batched",
        "is_closed",
    )

    def __init__(self, send: SendFrame, background: BackgroundTasks) -> None:
        self._send = send
        self._background = background
        self._messages: deque[protocol.AnyServerMessage] = deque()
        self._seq = 0
        self._is_flush_due = False
        self._is_flushing = False
        self.is_batched = False
        self.is_closed = False

    def put(self, message: protocol.AnyServerMessage) -> bool:
        """Whether there was room. Messages put within one turn of the event loop leave together."""
        if self.is_closed:
            return True
        if len(self._messages) >= LIMIT:
            return False
        self._messages.append(message)
        if not (self._is_flush_due or self._is_flushing):
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush_in_background)
        return True

    async def flush(self) -> None:
        if self._is_flushing:
            return
        self._is_flushing = True
        try:
            while self._messages and not self.is_closed:
                self._seq += 1
                frame = protocol.encode(_numbered(self._next_message(), self._seq))
                await self._send({"type": "websocket.send", "text": frame})
        except OSError:  # by the ASGI specification: the client has disconnected; an event will follow
            self._messages.clear()
        finally:
            self._is_flushing = False

    def _flush_in_background(self) -> None:
        self._is_flush_due = False
        if self._messages and not self._is_flushing:
            self._background.spawn(self.flush())

    def _next_message(self) -> protocol.AnyServerMessage:
        """The oldest message, in batched mode with all statuses that follow it so far."""
        message = self._messages.popleft()
        if not (self.is_batched and isinstance(message, protocol.Status)):
            return message
        batch = [message]
        while len(batch) < BATCH and self._messages and isinstance(self._messages[0], protocol.Status):
            batch.append(cast(protocol.Status, self._messages.popleft()))
        return protocol.Statuses(statuses=batch)


def _numbered(message: protocol.AnyServerMessage, seq: int) -> protocol.AnyServerMessage:
    message.seq = seq
    if isinstance(message, protocol.Statuses):
        for status in message.statuses:
            status.seq = seq
    return message
