"""The WebSocket at /v1/ws/tts: passes requests on and statuses back; decides nothing."""

import asyncio
import logging
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import InterfaceError, OperationalError
from redis import exceptions as redis_errors

from yapit import identity, jobs, protocol
from yapit.bells import tower
from yapit.errors import (
    CannotCheck,
    DocumentMissing,
    NotAuthenticated,
    OriginRefused,
    UnknownModel,
    UnknownVoice,
)
from yapit.listening import Listening
from yapit.protocol import ProtocolError

logger = logging.getLogger(__name__)

NOT_AUTHENTICATED = 4401
ORIGIN_REFUSED = 4403
CANNOT_CHECK = 1013
TOO_SLOW = 1008
DRAINING = 1012
OUTBOX = 1000  # frames that a slow reader may leave unread

OUTAGES = (redis_errors.RedisError, OperationalError, InterfaceError)


class SynthesisSocket(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """One connection. Channels hands it its messages one at a time; answers leave through the outbox."""

    async def connect(self) -> None:
        self.outbox: asyncio.Queue[protocol.ServerMessage] = asyncio.Queue(OUTBOX)
        self.listening: Listening | None = None
        self.writer: asyncio.Task[None] | None = None
        self.is_closed = False
        offered = self.scope.get("subprotocols", ())
        # A refusal before this reaches a browser as a bare 403.
        await self.accept(identity.SUBPROTOCOL if identity.SUBPROTOCOL in offered else None)
        who = await self._identify()
        if who is None:
            return
        self.tower = tower()
        self.writer = self.tower.spawn(self._write())
        self.listening = Listening(self.tower.new_connection(), who.user_id, self.tower, self._put)
        await self.tower.enter(self)

    async def disconnect(self, code: int) -> None:
        self.is_closed = True
        if self.listening is None:
            return
        self.tower.leave(self)
        if self.writer:
            self.writer.cancel()
        waiting = self.listening.abandon()
        if waiting:
            self.tower.spawn(self._stop_waiting_later(waiting))

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Past the stock one for frames: it hops to a shared thread to close connections we do not hold."""
        if message["type"] == "websocket.receive":
            await self.websocket_receive(message)
        else:
            await super().dispatch(message)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.listening is None or self.is_closed:
            return
        message: protocol.ClientMessage | None = None
        try:
            message = protocol.decode(text_data)
            await self._act_on(message, self.listening)
        except ProtocolError as error:
            self._refuse(error)
        except (DocumentMissing, UnknownModel, UnknownVoice) as error:
            self._refuse(_about(message, error.code))
        except OUTAGES as error:
            logger.warning("A request could not be served: %s", type(error).__name__)
            self._refuse(_about(message, "unavailable", retry_after=settings.RESYNC_SECONDS))

    async def _act_on(self, message: protocol.ClientMessage, listening: Listening) -> None:
        match message:
            case protocol.Synthesize():
                await listening.request(message)
            case protocol.CursorMoved():
                await listening.stop_waiting(message.document_id)

    def _refuse(self, error: ProtocolError) -> None:
        self._put(
            protocol.Error(
                code=error.code,
                error=str(error),
                document_id=error.document_id,
                block_indices=error.block_indices,
                retry_after=error.retry_after,
            )
        )

    # --- What the bell tower and the drain call --------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        return self.listening is not None and self.listening.is_waiting

    async def look_again(self) -> None:
        if self.listening is not None:
            await self.listening.look_again()

    async def check_identity(self) -> None:
        """A key that was revoked, or an account that is gone, does not keep its socket."""
        try:
            await identity.identify_scope(self.scope)
        except NotAuthenticated:
            await self.shut(NOT_AUTHENTICATED)
        except (OriginRefused, CannotCheck) as error:
            logger.info("An open socket could not be checked: %s", error.code)

    async def shut(self, code: int = DRAINING) -> None:
        if not self.is_closed:
            self.is_closed = True
            await self.close(code)

    # --- Frames --------------------------------------------------------

    def _put(self, message: protocol.ServerMessage) -> None:
        try:
            self.outbox.put_nowait(message)
        except asyncio.QueueFull:
            if not self.is_closed:
                self.tower.spawn(self.shut(TOO_SLOW))

    async def _write(self) -> None:
        """Frames leave in the order in which they were put, numbered from 1: a gap shows a loss."""
        seq = 0
        while True:
            message = await self.outbox.get()
            if self.is_closed:
                return
            seq += 1
            message.seq = seq
            await self.send(protocol.encode(message))

    # --- Coming and going --------------------------------------------------------

    async def _identify(self) -> identity.Identity | None:
        try:
            return await identity.identify_scope(self.scope)
        except NotAuthenticated:
            await self.shut(NOT_AUTHENTICATED)
        except OriginRefused:
            await self.shut(ORIGIN_REFUSED)
        except CannotCheck as error:
            logger.warning("A connection could not be checked: %s", repr(error.__cause__))
            await self.shut(CANNOT_CHECK)
        return None

    async def _stop_waiting_later(self, waiting: list[tuple[str, str]]) -> None:
        """A connection lost for a moment is no reason to drop work: its listener asks again, and joins."""
        await asyncio.sleep(settings.ABANDONED_SECONDS)
        try:
            await jobs.cancel(self.tower.redis, waiting)
        except redis_errors.RedisError as error:
            logger.warning("Abandoned work was not dropped: %s", type(error).__name__)


def _about(
    message: protocol.ClientMessage | None, code: str, *, retry_after: float | None = None
) -> ProtocolError:
    document_id = message.document_id if message else None
    indices = message.block_indices if isinstance(message, protocol.Synthesize) else None
    return ProtocolError(code, document_id=document_id, block_indices=indices, retry_after=retry_after)
