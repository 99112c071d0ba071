"""One-shot synthesis: one text for one HTTP request, under the limits and credit of blocks on a socket."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from django.conf import settings
from redis import exceptions as redis_errors

from yapit import jobs, limits, protocol
from yapit.accounts.identity import Identity
from yapit.errors import NotAuthenticated, SpeechRefused
from yapit.jobs import Priority
from yapit.protocol import ProtocolError, Status
from yapit.realtime.notifications import NotificationHub, hub
from yapit.realtime.session import SynthesisSession
from yapit.synthesis import lookup
from yapit.synthesis.speech_job import SpeechSpec

logger = logging.getLogger(__name__)

READ_ATTEMPTS = 3  # of audio that is evicted between its announcement and its reading
OWN_MESSAGES = {
    "timeout": "This takes longer than a request may. It goes on: ask again for the same, and join.",
    "too_many_connections": "Too many requests and connections of this account are open.",
    "audio_gone": "The audio was lost several times before it could be read. Try again.",
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """`words` as on the socket: a JSON list of {t, s, e}."""

    hash: str
    duration_ms: int
    words: str | None
    was_cached: bool


@dataclass(frozen=True, slots=True)
class SynthesizedAudio:
    data: bytes
    media_type: str
    checksum: str


async def speak(identity: Identity, spec: SpeechSpec, *, is_billable: bool = True) -> Spoken:
    """Return when the audio exists. Raises SpeechRefused with a stable code.

    A cancelled request stops waiting, and a job that no other connection waits for is dropped. After a
    timeout the job continues: a repeated request joins it.
    """
    async with _open(identity) as request:
        return await request.synthesize(spec, is_billable=is_billable)


async def synthesize_audio(
    identity: Identity, spec: SpeechSpec, *, is_billable: bool = True
) -> tuple[Spoken, SynthesizedAudio]:
    """Like `speak`, with the audio."""
    async with _open(identity) as request:
        for _ in range(READ_ATTEMPTS):
            spoken = await request.synthesize(spec, is_billable=is_billable)
            audio = await lookup.audio_of(request.hub.link, spec.hash)
            if audio is not None:
                header, data = audio
                return spoken, SynthesizedAudio(bytes(data), header.media_type, header.sha256.hex())
    raise refused("audio_gone", retry_after=1)


def refused(
    code: str, *, retry_after: float | None = None, usage: protocol.Usage | None = None
) -> SpeechRefused:
    message = OWN_MESSAGES.get(code) or protocol.CODES.get(code) or protocol.CODES["engine_failed"]
    return SpeechRefused(code, message, retry_after=retry_after, usage=usage)


class _OneShotRequest:
    """A connection of the hub that waits for one text at a time."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.hub: NotificationHub = hub()
        self.connection = self.hub.new_connection()
        self.session = SynthesisSession(self.connection, identity, self.hub, self._on_message)
        self._was_cached = True
        self._ended: asyncio.Future[Status]

    async def synthesize(self, spec: SpeechSpec, *, is_billable: bool) -> Spoken:
        self._ended = asyncio.get_running_loop().create_future()
        await self.session.request_text(spec, Priority.PLAYING, is_billable=is_billable)
        status = await self._ended
        if status.status != "cached":
            retry_after = settings.RESYNC_SECONDS if status.recoverable else None
            raise refused(status.code or "engine_failed", retry_after=retry_after, usage=status.usage)
        return Spoken(spec.hash, status.duration_ms or 0, status.word_timestamps, self._was_cached)

    def _on_message(self, message: protocol.ServerMessage) -> None:
        match message:
            case Status(status="queued"):
                self._was_cached = False
            case Status():
                if not self._ended.done():
                    self._ended.set_result(message)
            case protocol.Error():
                self._fail(refused(message.code, retry_after=message.retry_after))

    def _fail(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)

    # --- Called by the hub --------------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        return self.session.is_waiting

    async def resync(self) -> None:
        await self.session.resync()

    async def renew_slot(self) -> None:
        await limits.acquire_slot(self.hub.link, self.identity.user_id, self.connection)

    async def ask_to_reconnect(self) -> None:
        self._fail(refused("unavailable", retry_after=1))

    async def reject(self) -> None:
        self._fail(NotAuthenticated("not_authenticated", "What you came in with holds no longer."))


@asynccontextmanager
async def _open(identity: Identity) -> AsyncIterator[_OneShotRequest]:
    """A request that holds a connection slot of its account, for at most SYNTHESIZE_TIMEOUT."""
    request = _OneShotRequest(identity)
    await _acquire_slot(request)
    try:
        await request.hub.enter(request)
        async with asyncio.timeout(settings.SYNTHESIZE_TIMEOUT):
            yield request
    except TimeoutError:
        request.session.close()  # without `jobs.cancel`: the job continues
        raise refused("timeout", retry_after=1) from None
    except ProtocolError as error:
        raise refused(error.code, retry_after=error.retry_after) from None
    finally:
        request.hub.leave(request)
        request.hub.spawn(_clean_up(request, request.session.close()))


async def _acquire_slot(request: _OneShotRequest) -> None:
    if not await limits.acquire_slot(request.hub.link, request.identity.user_id, request.connection):
        raise refused("too_many_connections", retry_after=limits.RENEW_SLOT_SECONDS)


async def _clean_up(request: _OneShotRequest, pending: Sequence[tuple[str, str]]) -> None:
    """In the background: the response does not wait for it."""
    try:
        await limits.release_slot(request.hub.link, request.identity.user_id, request.connection)
        await jobs.cancel(request.hub.link, pending)
    except redis_errors.RedisError as error:
        logger.info("The state of an ended request expires by itself: %s", type(error).__name__)
