"""One text, spoken while its request waits: the same path, limits and allowance as a block on a socket."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from django.conf import settings
from redis import exceptions as redis_errors

from yapit import jobs, limits, protocol
from yapit.accounts.identity import Identity
from yapit.errors import NotAuthenticated, SpeechRefused
from yapit.jobs import JobSpec, Priority
from yapit.protocol import ProtocolError, Status
from yapit.realtime.notifications import NotificationHub, hub
from yapit.realtime.pending_blocks import PendingBlocks
from yapit.synthesis import lookup

logger = logging.getLogger(__name__)

TIMES = 3  # that audio may be gone between its announcement and its reading
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
class Audio:
    data: bytes
    media_type: str
    checksum: str


async def speak(who: Identity, work: JobSpec, *, is_billable: bool = True) -> Spoken:
    """Return when the audio is there. Raises SpeechRefused with the code of what was the matter.

    Who is cancelled stops waiting, and what nobody else waits for is dropped. After a timeout the work
    goes on: whoever asks again joins it.
    """
    async with _waiter(who) as waiter:
        return await waiter.speak(work, is_billable=is_billable)


async def synthesize_audio(who: Identity, work: JobSpec, *, is_billable: bool = True) -> tuple[Spoken, Audio]:
    """The same, with the audio."""
    async with _waiter(who) as waiter:
        for _ in range(TIMES):
            spoken = await waiter.speak(work, is_billable=is_billable)
            audio = await lookup.audio_of(waiter.hub.link, work.hash)
            if audio is not None:
                header, data = audio
                return spoken, Audio(bytes(data), header.media_type, header.sha256.hex())
    raise refused("audio_gone", retry_after=1)


def refused(
    code: str, *, retry_after: float | None = None, usage: protocol.Usage | None = None
) -> SpeechRefused:
    message = OWN_MESSAGES.get(code) or protocol.CODES.get(code) or protocol.CODES["engine_failed"]
    return SpeechRefused(code, message, retry_after=retry_after, usage=usage)


class _Waiter:
    """To the tower a socket among others, to its listening where the statuses go."""

    def __init__(self, who: Identity) -> None:
        self.who = who
        self.hub: NotificationHub = hub()
        self.connection = self.hub.new_connection()
        self.listening = PendingBlocks(self.connection, who.user_id, self.hub, self._hear)
        self._was_cached = True
        self._ended: asyncio.Future[Status]

    async def speak(self, work: JobSpec, *, is_billable: bool) -> Spoken:
        self._ended = asyncio.get_running_loop().create_future()
        await self.listening.want(work, Priority.PLAYING, is_billable=is_billable)
        status = await self._ended
        if status.status != "cached":
            retry_after = settings.RESYNC_SECONDS if status.recoverable else None
            raise refused(status.code or "engine_failed", retry_after=retry_after, usage=status.usage)
        return Spoken(work.hash, status.duration_ms or 0, status.word_timestamps, self._was_cached)

    def _hear(self, message: protocol.ServerMessage) -> None:
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

    # --- What the tower calls ---------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        return self.listening.is_waiting

    async def look_again(self) -> None:
        await self.listening.look_again()

    @property
    def billed_user_id(self) -> int | None:
        return None  # a balance that changes is nothing that one answer could tell of

    async def check_credit(self) -> None:
        pass

    async def keep_place(self) -> None:
        await limits.enter(self.hub.link, self.who.user_id, self.connection)

    async def ask_to_reconnect(self) -> None:
        self._fail(refused("unavailable", retry_after=1))

    async def reject(self) -> None:
        self._fail(NotAuthenticated("not_authenticated", "What you came in with holds no longer."))


@asynccontextmanager
async def _waiter(who: Identity) -> AsyncIterator[_Waiter]:
    """One that has its place among the connections of the account, for as long as a request may take."""
    waiter = _Waiter(who)
    await _take_place(waiter)
    try:
        await waiter.hub.enter(waiter)
        async with asyncio.timeout(settings.SYNTHESIZE_TIMEOUT):
            yield waiter
    except TimeoutError:
        waiter.listening.abandon()  # here, not in Redis: what was begun is finished
        raise refused("timeout", retry_after=1) from None
    except ProtocolError as error:
        raise refused(error.code, retry_after=error.retry_after) from None
    finally:
        waiter.hub.leave(waiter)
        waiter.hub.spawn(_clean_up(waiter, waiter.listening.abandon()))


async def _take_place(waiter: _Waiter) -> None:
    if not await limits.enter(waiter.hub.link, waiter.who.user_id, waiter.connection):
        raise refused("too_many_connections", retry_after=limits.KEEP_SECONDS)


async def _clean_up(waiter: _Waiter, waiting: list[tuple[str, str]]) -> None:
    """Beside the request: who has gone does not wait for this."""
    try:
        await limits.leave(waiter.hub.link, waiter.who.user_id, waiter.connection)
        await jobs.cancel(waiter.hub.link, waiting)
    except redis_errors.RedisError as error:
        logger.info("A request that ended is cleared away later: %s", type(error).__name__)
