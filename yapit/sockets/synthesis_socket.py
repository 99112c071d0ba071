"""WebSocket consumer at /v1/ws/tts: passes requests to its synthesis session, and messages to its client."""

import asyncio
import logging
from collections.abc import Sequence

from django.conf import settings
from redis import exceptions as redis_errors

from yapit import jobs, protocol
from yapit.realtime.session import SynthesisSession
from yapit.sockets.authenticated_socket import AuthenticatedSocket

logger = logging.getLogger(__name__)


class SynthesisSocket(AuthenticatedSocket):
    session: SynthesisSession  # from `prepare` on

    def decode(self, text: str | None) -> protocol.ClientMessage:
        return protocol.decode(text)

    def prepare(self) -> None:
        self.session = SynthesisSession(self.connection, self.identity, self.hub, self.put)

    def end(self) -> None:
        self.hub.credit.remove(self)
        pending = self.session.close()
        if pending:
            self.hub.spawn(self._cancel_later(pending))

    async def handle(self, message: protocol.ClientMessage) -> None:
        match message:
            case protocol.Synthesize():
                self.hub.credit.add(self)
                await self.session.request(message)  # counts the message in the same round trip
            case protocol.CursorMoved():
                await self.check_rate()
                await self.session.stop_waiting(message.document_id)
            case protocol.Options():
                await self.check_rate()
                self.outbox.is_batched = message.batched

    async def _cancel_later(self, pending: Sequence[tuple[str, str]]) -> None:
        """After a grace period: a client that reconnects within it requests the same blocks, and joins."""
        await asyncio.sleep(settings.ABANDONED_SECONDS)
        try:
            await jobs.cancel(self.hub.link, pending)
        except redis_errors.RedisError as error:
            logger.warning("Jobs of a closed connection were not cancelled: %s", type(error).__name__)

    # --- Called by the hub ------------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        return self.session.is_waiting

    async def resync(self) -> None:
        await self.session.resync()

    @property
    def billed_user_id(self) -> int | None:
        return self.identity.user_id if self.session.is_billed else None

    async def check_credit(self) -> None:
        await self.session.check_credit()
