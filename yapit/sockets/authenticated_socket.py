"""Base class of both sockets: log-in, connection slots, rate limits, refusals, close codes and the drain."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import InterfaceError, OperationalError
from redis import exceptions as redis_errors

from yapit import limits, protocol
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
from yapit.realtime.session import check_rate
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


class AuthenticatedSocket(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """One connection. It receives its messages one at a time, and sends through its outbox.

    Subclasses implement `decode` and `handle`, and what they need of `prepare`, `begin` and `end`.
    """

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

    # --- Implemented by subclasses ----------------------------------------------------------------------

    def decode(self, text: str | None) -> Any:
        """The message of a frame. Raises ProtocolError."""
        raise NotImplementedError

    async def handle(self, message: Any) -> None:
        """Carry out a message. Raises ProtocolError, or an error of OUTAGES."""
        raise NotImplementedError

    def prepare(self) -> None:
        """The client is authenticated; the hub does not know the connection yet."""

    async def begin(self) -> None:
        """The hub knows the connection. Raises RedisError."""

    def end(self) -> None:
        """The connection has ended, after `prepare`."""

    # --- Opening and closing --------------------------------------------------------------------------------

    async def connect(self) -> None:
        self.hub = hub()
        self.is_registered = False
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
        self.prepare()
        self.is_registered = True
        await self.hub.enter(self)
        try:
            await self.begin()
        except redis_errors.RedisError as error:
            logger.warning("A connection could not begin: %s", type(error).__name__)
            await self.ask_to_reconnect(CANNOT_CHECK, AuthenticationUnavailable.code)
        if identity.changes_seen() != changes:  # before the hub knew this connection
            await self.hub.access.check([self])

    async def disconnect(self, code: int) -> None:
        self.outbox.is_closed = True
        if not self.is_registered:
            return
        self.hub.leave(self)
        self.hub.spawn(self._release_slot())
        self.end()

    async def ask_to_reconnect(self, code: int = DRAINING, reason: str | None = None) -> None:
        if not self.outbox.is_closed:
            self.outbox.is_closed = True
            await self.close(code, reason)

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

    # --- Messages -------------------------------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.is_registered or self.outbox.is_closed:
            return
        message: Any = None
        try:
            message = await self._decode_counted(text_data)
            await self.handle(message)
        except ProtocolError as error:
            self.send_error(_with_request(error, message))
        except (DocumentNotFound, UnknownModel, UnknownVoice) as error:
            self.send_error(_with_request(ProtocolError(error.code), message))
        except OUTAGES as error:
            logger.warning("A request could not be served: %r", error.__cause__ or error)
            unavailable = ProtocolError("unavailable", retry_after=settings.RESYNC_SECONDS)
            self.send_error(_with_request(unavailable, message))
        await self.outbox.flush()

    async def check_rate(self) -> None:
        """Count one message. Raises ProtocolError when the account sends too many."""
        await check_rate(self.hub.link, self.identity.user_id)

    def put(self, message: protocol.AnyServerMessage) -> None:
        if not self.outbox.put(message):
            self.hub.spawn(self.ask_to_reconnect(TOO_SLOW))

    def send_error(self, error: ProtocolError) -> None:
        self.put(
            protocol.Error(
                code=error.code,
                error=str(error),
                document_id=error.document_id,
                block_indices=error.block_indices,
                retry_after=error.retry_after,
            )
        )

    async def _decode_counted(self, text: str | None) -> Any:
        """Invalid messages count against the rate as well."""
        try:
            return self.decode(text)
        except ProtocolError:
            await self.check_rate()
            raise

    # --- Called by the hub and the drain --------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        return False

    async def resync(self) -> None:
        """Read states again that notifications may have lost."""

    async def reject(self) -> None:
        await self.ask_to_reconnect(NOT_AUTHENTICATED)

    async def renew_slot(self) -> None:
        await limits.acquire_slot(self.hub.link, self.identity.user_id, self.connection)


def _with_request(error: ProtocolError, message: Any) -> ProtocolError:
    """The error, with the document and the blocks of the request that caused it."""
    if error.document_id is None:
        error.document_id = getattr(message, "document_id", None)
    if error.block_indices is None:
        error.block_indices = getattr(message, "block_indices", None)
    return error
