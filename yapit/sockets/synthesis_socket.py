"""WebSocket consumer at /v1/ws/tts: passes requests to its synthesis session, and messages to its client."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

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
from yapit.realtime.session import SynthesisSession
from yapit.sockets.outbox import Outbox

logger = logging.getLogger(__name__)

NOT_AUTHENTICATED = 4401
NO_CREDENTIALS = 4407
KEY_IN_ADDRESS = 4400
ORIGIN_REFUSED = 4403
CANNOT_CHECK = 1013
TOO_MANY = 4429
TOO_SLOW = 1008
DRAINING = 1012

REFUSED = {"missing_credentials": NO_CREDENTIALS, "key_in_address": KEY_IN_ADDRESS}
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
OUTAGES = (redis_errors.RedisError, OperationalError, InterfaceError)


class SynthesisSocket(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """One connection. It receives its messages one at a time, and sends through its outbox."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Replaces the implementation of Channels, which creates tasks for each message to wait for a channel
        layer as well, and hops to a shared thread to close database connections that this consumer does not
        hold."""
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
        self.hub = hub()
        self.session: SynthesisSession | None = None
        self.outbox = Outbox(self.base_send, self.hub.background)
        offered = self.scope.get("subprotocols", ())
        # A browser sees a refusal before this only as a bare 403.
        await self.accept(protocol.SUBPROTOCOL if protocol.SUBPROTOCOL in offered else None)
        changes = identity.changes_seen()
        found = await self._identify()
        if found is None:
            return
        self.connection = self.hub.new_connection()
        self.identity = found
        if not await self._acquire_slot():
            return
        self.session = SynthesisSession(self.connection, found.user_id, self.hub, self._put)
        await self.hub.enter(self)
        if identity.changes_seen() != changes:  # before the hub knew this connection
            await self.hub.access.check([self])

    async def disconnect(self, code: int) -> None:
        self.outbox.is_closed = True
        if self.session is None:
            return
        self.hub.leave(self)
        self.hub.credit.remove(self)
        self.hub.spawn(self._release_slot())
        pending = self.session.close()
        if pending:
            self.hub.spawn(self._cancel_later(pending))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.session is None or self.outbox.is_closed:
            return
        message: protocol.ClientMessage | None = None
        try:
            message = await self._decode(text_data, self.session)
            await self._handle(message, self.session)
        except ProtocolError as error:
            self._send_error(_with_request(error, message))
        except (DocumentNotFound, UnknownModel, UnknownVoice) as error:
            self._send_error(_with_request(ProtocolError(error.code), message))
        except OUTAGES as error:
            logger.warning("A request could not be served: %r", error.__cause__ or error)
            unavailable = ProtocolError("unavailable", retry_after=settings.RESYNC_SECONDS)
            self._send_error(_with_request(unavailable, message))
        await self.outbox.flush()

    async def _decode(self, text: str | None, session: SynthesisSession) -> protocol.ClientMessage:
        """Invalid messages count against the rate as well."""
        try:
            return protocol.decode(text)
        except ProtocolError:
            await session.check_rate()
            raise

    async def _handle(self, message: protocol.ClientMessage, session: SynthesisSession) -> None:
        match message:
            case protocol.Synthesize():
                self.hub.credit.add(self)
                await session.request(message)  # counts the message in the same round trip
            case protocol.CursorMoved():
                await session.check_rate()
                await session.stop_waiting(message.document_id)
            case protocol.Options():
                await session.check_rate()
                self.outbox.is_batched = message.batched

    def _put(self, message: protocol.ServerMessage) -> None:
        if not self.outbox.put(message):
            self.hub.spawn(self.ask_to_reconnect(TOO_SLOW))

    def _send_error(self, error: ProtocolError) -> None:
        self._put(
            protocol.Error(
                code=error.code,
                error=str(error),
                document_id=error.document_id,
                block_indices=error.block_indices,
                retry_after=error.retry_after,
            )
        )

    # --- Called by the hub and the drain --------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        return self.session is not None and self.session.is_waiting

    async def resync(self) -> None:
        if self.session is not None:
            await self.session.resync()

    async def reject(self) -> None:
        await self.ask_to_reconnect(NOT_AUTHENTICATED)

    @property
    def billed_user_id(self) -> int | None:
        return self.identity.user_id if self.session is not None and self.session.is_billed else None

    async def check_credit(self) -> None:
        if self.session is not None:
            await self.session.check_credit()

    async def renew_slot(self) -> None:
        await limits.acquire_slot(self.hub.link, self.identity.user_id, self.connection)

    async def ask_to_reconnect(self, code: int = DRAINING, reason: str | None = None) -> None:
        if not self.outbox.is_closed:
            self.outbox.is_closed = True
            await self.close(code, reason)

    # --- Opening and closing --------------------------------------------------------

    async def _identify(self) -> identity.Identity | None:
        """None: the connection was closed with a code that says why."""
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

    async def _acquire_slot(self) -> bool:
        """False: the connection was closed with a code that says why."""
        try:
            if await limits.acquire_slot(self.hub.link, self.identity.user_id, self.connection):
                return True
            await self.ask_to_reconnect(TOO_MANY, f"too_many_connections; retry_after={limits.SLOT_SECONDS}")
        except redis_errors.RedisError as error:
            logger.warning("A connection could not be counted: %s", type(error).__name__)
            await self.ask_to_reconnect(CANNOT_CHECK, AuthenticationUnavailable.code)
        return False

    async def _release_slot(self) -> None:
        try:
            await limits.release_slot(self.hub.link, self.identity.user_id, self.connection)
        except redis_errors.RedisError as error:
            logger.info("The slot of a closed connection expires by itself: %s", type(error).__name__)

    async def _cancel_later(self, pending: Sequence[tuple[str, str]]) -> None:
        """After a grace period: a client that reconnects within it requests the same blocks, and joins."""
        await asyncio.sleep(settings.ABANDONED_SECONDS)
        try:
            await jobs.cancel(self.hub.link, pending)
        except redis_errors.RedisError as error:
            logger.warning("Jobs of a closed connection were not cancelled: %s", type(error).__name__)


def _with_request(error: ProtocolError, message: protocol.ClientMessage | None) -> ProtocolError:
    """The error, with the document and the blocks of the request that caused it."""
    if error.document_id is None:
        error.document_id = getattr(message, "document_id", None)
    if error.block_indices is None and isinstance(message, protocol.Synthesize):
        error.block_indices = message.block_indices
    return error
