"""Events of the account and of watched documents, over one reconnecting WebSocket."""

import asyncio
import math
from collections.abc import AsyncIterator, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import msgspec

from yapit.client.errors import Refused
from yapit.client.reconnecting_socket import EVENTS_PATH, ReconnectingSocket
from yapit.client.socket_session import SocketSession
from yapit.protocol import (
    Changed,
    Connected,
    DocumentGone,
    Error,
    EventsServerMessage,
    Subject,
    Watch,
    Watching,
)

RETRYABLE = frozenset({"rate_limited", "unavailable"})
SHORTEST_WAIT, LONGEST_WAIT = 0.25, 60.0

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has changed; its new value is read from the server.

    `connected`: earlier changes may have been missed, so everything is read again. The first event is one.
    `document_gone`: a watched document was deleted or is no longer shared, and is watched no longer.
    """

    kind: Subject | Literal["connected", "document_gone"]
    document_id: UUID | None = None


CONNECTED = Event("connected")


class EventSession(SocketSession):
    """Events that are not taken yet are kept once each, so a slow caller needs no memory."""

    def __init__(self, url: str, key: str, documents: Iterable[UUID], *, patience: float) -> None:
        super().__init__()
        self._socket = ReconnectingSocket(
            url, key, self, path=EVENTS_PATH, messages=EventsServerMessage, patience=patience
        )
        self._documents = dict.fromkeys(documents)
        self._pending: dict[Event, None] = {}

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        return [self._socket.run()]

    async def events(self) -> AsyncIterator[Event]:
        while True:
            while not self._pending:
                await self.wait_for_message()
            event = next(iter(self._pending))
            del self._pending[event]
            yield event

    # --- FrameHandler -----------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        return True

    async def on_open(self) -> None:
        """`connected` follows by itself."""

    async def on_gap(self) -> None:
        await self._watch()

    async def on_message(self, message: EventsServerMessage) -> None:
        match message:
            case Connected():
                await self._watch()
            case Watching():
                self._connected()
            case Changed():
                self._pending[Event(message.subject, message.document_id)] = None
            case DocumentGone():
                self._gone(message.document_id)
            case Error(code="document_not_found", document_id=UUID() as document_id):
                self._gone(document_id)
            case Error():
                self._on_error(message)
        self._received.set()

    async def _watch(self) -> None:
        """The documents are watched first: what is read after the event `connected` then misses nothing."""
        if self._documents:
            await self._socket.send(_encode(Watch(list(self._documents))))
        else:
            self._connected()

    def _connected(self) -> None:
        gone = [event for event in self._pending if event.kind == "document_gone"]
        self._pending = dict.fromkeys([CONNECTED, *gone])
        self._received.set()

    def _gone(self, document_id: UUID) -> None:
        if document_id in self._documents:
            del self._documents[document_id]
            self._pending.pop(Event("document", document_id), None)
            self._pending[Event("document_gone", document_id)] = None

    def _on_error(self, error: Error) -> None:
        if error.code not in RETRYABLE:
            self._fail(Refused(error.code, error.error, retry_after=error.retry_after))
            return
        wait = error.retry_after if error.retry_after and math.isfinite(error.retry_after) else 1.0
        self._spawn(self._watch_later(min(max(wait, SHORTEST_WAIT), LONGEST_WAIT)))

    async def _watch_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._watch()
