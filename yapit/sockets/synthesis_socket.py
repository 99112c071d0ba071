"""The WebSocket at /v1/ws/tts: passes requests on and statuses back; decides nothing."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import InterfaceError, OperationalError
from redis import exceptions as redis_errors

from yapit import jobs, limits, protocol
from yapit.accounts import identity
from yapit.errors import (
    AuthenticationUnavailable,
    DocumentNotFound,
    NotAuthenticated,
    OriginRefused,
    UnknownModel,
    UnknownVoice,
)
from yapit.protocol import ProtocolError
from yapit.realtime.notifications import hub
from yapit.realtime.pending_blocks import PendingBlocks

logger = logging.getLogger(__name__)

NOT_AUTHENTICATED = 4401
NO_CREDENTIALS = 4407
KEY_IN_ADDRESS = 4400
ORIGIN_REFUSED = 4403
CANNOT_CHECK = 1013
TOO_MANY = 4429
TOO_SLOW = 1008
DRAINING = 1012
OUTBOX = 1000  # frames that a slow reader may leave unread
BATCH = 64  # statuses in one frame

REFUSED = {"missing_credentials": NO_CREDENTIALS, "key_in_address": KEY_IN_ADDRESS}
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
OUTAGES = (redis_errors.RedisError, OperationalError, InterfaceError)


class SynthesisSocket(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """One connection. It gets its messages one at a time; answers leave through the outbox."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Past the stock one. It makes tasks for each message, to hear a channel layer besides, and hops to a
        shared thread, to close database connections that we do not hold."""
        self.scope, self.base_send = scope, send
        try:
            while True:
                message = await receive()
                await self._handlers[message["type"]](self, message)
        except StopConsumer:
            return

    _handlers = {
        "websocket.connect": AsyncWebsocketConsumer.websocket_connect,
        "websocket.receive": AsyncWebsocketConsumer.websocket_receive,
        "websocket.disconnect": AsyncWebsocketConsumer.websocket_disconnect,
    }

    async def connect(self) -> None:
        self.outbox: deque[protocol.ServerMessage] = deque()
        self.listening: PendingBlocks | None = None
        self.is_closed = False
        self.is_batched = False
        self.is_flushing = False
        self.is_flush_due = False
        self.seq = 0
        offered = self.scope.get("subprotocols", ())
        # A refusal before this reaches a browser as a bare 403.
        await self.accept(protocol.SUBPROTOCOL if protocol.SUBPROTOCOL in offered else None)
        heard = identity.changes_seen()
        who = await self._identify()
        if who is None:
            return
        self.hub = hub()
        self.connection = self.hub.new_connection()
        self.who = who
        if not await self._find_place():
            return
        self.listening = PendingBlocks(self.connection, who.user_id, self.hub, self._put)
        await self.hub.enter(self)
        if identity.changes_seen() != heard:  # told before the tower knew this socket
            await self.hub.check([self])

    async def disconnect(self, code: int) -> None:
        self.is_closed = True
        if self.listening is None:
            return
        self.hub.leave(self)
        self.hub.spawn(self._free_place())
        waiting = self.listening.abandon()
        if waiting:
            self.hub.spawn(self._stop_waiting_later(waiting))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.listening is None or self.is_closed:
            return
        message: protocol.ClientMessage | None = None
        try:
            message = await self._decode(text_data, self.listening)
            await self._act_on(message, self.listening)
        except ProtocolError as error:
            self._refuse(_naming(error, message))
        except (DocumentNotFound, UnknownModel, UnknownVoice) as error:
            self._refuse(_naming(ProtocolError(error.code), message))
        except OUTAGES as error:
            logger.warning("A request could not be served: %r", error.__cause__ or error)
            later = ProtocolError("unavailable", retry_after=settings.RESYNC_SECONDS)
            self._refuse(_naming(later, message))
        await self._flush()

    async def _decode(self, text: str | None, listening: PendingBlocks) -> protocol.ClientMessage:
        """What is no message counts against the rate as well."""
        try:
            return protocol.decode(text)
        except ProtocolError:
            await listening.check_rate()
            raise

    async def _act_on(self, message: protocol.ClientMessage, listening: PendingBlocks) -> None:
        match message:
            case protocol.Synthesize():
                await listening.request(message)  # which counts it with its first look
            case protocol.CursorMoved():
                await listening.check_rate()
                await listening.stop_waiting(message.document_id)
            case protocol.Options():
                await listening.check_rate()
                self.is_batched = message.batched

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

    async def reject(self) -> None:
        await self.ask_to_reconnect(NOT_AUTHENTICATED)

    @property
    def billed_user_id(self) -> int | None:
        return self.who.user_id if self.listening is not None and self.listening.meter.is_used else None

    async def check_credit(self) -> None:
        if self.listening is not None:
            await self.listening.check_credit()

    async def ask_to_reconnect(self, code: int = DRAINING, reason: str | None = None) -> None:
        if not self.is_closed:
            self.is_closed = True
            await self.close(code, reason)

    # --- Frames --------------------------------------------------------

    def _put(self, message: protocol.ServerMessage) -> None:
        if self.is_closed:
            return
        if len(self.outbox) >= OUTBOX:
            self.hub.spawn(self.ask_to_reconnect(TOO_SLOW))
            return
        self.outbox.append(message)
        if not (self.is_flush_due or self.is_flushing):
            # What is put within one turn of the loop leaves together.
            self.is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush_beside)

    def _flush_beside(self) -> None:
        self.is_flush_due = False
        if self.outbox and not self.is_flushing:
            self.hub.spawn(self._flush())

    async def _flush(self) -> None:
        """Frames leave in the order in which they were put, numbered from 1: a gap shows a loss."""
        if self.is_flushing:
            return
        self.is_flushing = True
        try:
            while self.outbox and not self.is_closed:
                self.seq += 1
                frame = protocol.encode(_numbered(self._next_frame(), self.seq))
                await self.base_send({"type": "websocket.send", "text": frame})
        except OSError:  # by the specification: the client is gone, and the server will say so
            self.outbox.clear()
        finally:
            self.is_flushing = False

    def _next_frame(self) -> protocol.ServerMessage:
        """The oldest message, for who wants batches with all statuses that follow it so far."""
        message = self.outbox.popleft()
        if not (self.is_batched and isinstance(message, protocol.Status)):
            return message
        batch = [message]
        while len(batch) < BATCH and self.outbox and isinstance(self.outbox[0], protocol.Status):
            batch.append(cast(protocol.Status, self.outbox.popleft()))
        return protocol.Statuses(statuses=batch)

    # --- Coming and going --------------------------------------------------------

    async def _identify(self) -> identity.Identity | None:
        try:
            return await identity.identify_scope(self.scope)
        except NotAuthenticated as error:
            await self.ask_to_reconnect(REFUSED.get(error.code, NOT_AUTHENTICATED), error.code)
        except OriginRefused:
            await self.ask_to_reconnect(ORIGIN_REFUSED, OriginRefused.code)
        except AuthenticationUnavailable as error:
            logger.warning("A connection could not be checked: %s", repr(error.__cause__))
            await self.ask_to_reconnect(CANNOT_CHECK, AuthenticationUnavailable.code)
        return None

    async def _find_place(self) -> bool:
        try:
            if await limits.enter(self.hub.link, self.who.user_id, self.connection):
                return True
            await self.ask_to_reconnect(TOO_MANY, f"too_many_connections; retry_after={limits.PLACE_SECONDS}")
        except redis_errors.RedisError as error:
            logger.warning("A connection could not be counted: %s", type(error).__name__)
            await self.ask_to_reconnect(CANNOT_CHECK, AuthenticationUnavailable.code)
        return False

    async def keep_place(self) -> None:
        await limits.enter(self.hub.link, self.who.user_id, self.connection)

    async def _free_place(self) -> None:
        try:
            await limits.leave(self.hub.link, self.who.user_id, self.connection)
        except redis_errors.RedisError as error:
            logger.info("A connection's place frees itself later: %s", type(error).__name__)

    async def _stop_waiting_later(self, waiting: list[tuple[str, str]]) -> None:
        """A connection lost for a moment is no reason to drop work: its listener asks again, and joins."""
        await asyncio.sleep(settings.ABANDONED_SECONDS)
        try:
            await jobs.cancel(self.hub.link, waiting)
        except redis_errors.RedisError as error:
            logger.warning("Abandoned work was not dropped: %s", type(error).__name__)


def _numbered(message: protocol.ServerMessage, seq: int) -> protocol.ServerMessage:
    message.seq = seq
    if isinstance(message, protocol.Statuses):
        for status in message.statuses:
            status.seq = seq
    return message


def _naming(error: ProtocolError, message: protocol.ClientMessage | None) -> ProtocolError:
    """The error, with the document and the blocks that were asked for."""
    if error.document_id is None:
        error.document_id = getattr(message, "document_id", None)
    if error.block_indices is None and isinstance(message, protocol.Synthesize):
        error.block_indices = message.block_indices
    return error
