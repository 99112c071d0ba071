"""GET and HEAD of /v1/audio/{hash}: a bare ASGI application beside Django's handler, since a listener's every
block passes here. Redis first, SQLite second; no middleware, and the ORM never on the event loop.
"""

import asyncio
import contextlib
import json
import logging
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError

from audiocache import blob
from audiocache.errors import StoreUnavailable
from audiocache.store import Found, store_for
from config.observability import metrics
from config.redis.blob_reader import blob_reader
from yapit.accounts.identity import identify_scope
from yapit.api.http import conditional, error_body
from yapit.errors import AuthenticationUnavailable, NotAuthenticated, OriginRefused
from yapit.synthesis.access_log import touches

logger = logging.getLogger(__name__)

AUDIO_PATH = re.compile(r"/v1/audio/([0-9a-f]{64})")
MEDIA_TYPE = re.compile(r"audio/[a-z0-9.+-]+(; ?codecs=[a-z0-9.,+-]+)?")
LOOKED_AT = frozenset({b"if-none-match", b"if-range", b"range"})
FOR_EVER = "max-age=31536000, immutable"
COLD_THREADS = 2
COLD_WAITING = 1024  # reads of SQLite under way or waiting; more are refused
RETRY_SECONDS = 1

REQUESTS = metrics.counter("audio_requests", "Requests for audio by how they ended", ["outcome"])
HOT, COLD, KNOWN = (REQUESTS.labels(outcome) for outcome in ("hot", "cold", "known"))

Scope = Mapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]


class Unavailable(Exception):
    """Whether there is such audio cannot be found out right now."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio as it goes out."""

    data: bytes | memoryview
    media_type: str
    checksum: str


class ColdReads:
    """Reads SQLite in a few threads of its own, so that no disk ever holds the event loop.

    An executor takes longer to pass a piece of work there and back than most reads take.
    """

    def __init__(self, read: Callable[[str], Found | None]) -> None:
        self._read = read
        self._asked: SimpleQueue[tuple[str, asyncio.Future[Found | None]]] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Found | None], Found | Exception | None]] = deque()
        self._waiting = 0
        self._threads: list[threading.Thread] = []

    async def get(self, hash_hex: str) -> Found | None:
        if self._waiting >= COLD_WAITING:
            raise Unavailable
        if len(self._threads) < min(COLD_THREADS, self._waiting + 1):
            self._start_thread()
        self._waiting += 1
        answer: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        self._asked.put((hash_hex, answer))
        try:
            return await answer
        except StoreUnavailable as exc:
            logger.warning("audio cannot be read: %s", exc)
            raise Unavailable from exc

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"audio-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            hash_hex, answer = self._asked.get()
            outcome: Found | Exception | None
            try:
                outcome = self._read(hash_hex)
            except Exception as exc:  # it is its asker's to handle
                outcome = exc
            self._done.append((answer, outcome))
            with contextlib.suppress(RuntimeError):  # its event loop has ended
                answer.get_loop().call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        """All that is there, in the event loop; a listener who hung up has cancelled what was for them."""
        while self._done:
            answer, outcome = self._done.popleft()
            self._waiting -= 1
            if answer.done():
                continue
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)


class AudioApplication:
    """`identify` raises what yapit.accounts.identity.identify_scope does; `read` is an AudioStore's `get`."""

    def __init__(
        self,
        identify: Callable[[Scope], Awaitable[object]] = identify_scope,
        read: Callable[[str], Found | None] | None = None,
    ) -> None:
        self._identify = identify
        self.cold = ColdReads(read or (lambda hash_hex: store_for("audio").get(hash_hex)))

    async def __call__(self, scope: Scope, receive: object, send: Send) -> None:
        answer = await self.answer(scope)
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, scope: Scope) -> Answer:
        """The key is checked before anything that would tell whether there is such audio."""
        path = AUDIO_PATH.fullmatch(scope["path"])
        if path is None:
            return _error(404, "not_found", "There is nothing here.")
        if scope["method"] not in ("GET", "HEAD"):
            return _error(405, "method_not_allowed", "Audio can only be read.", ((b"allow", b"GET, HEAD"),))
        refusal = None if settings.AUDIO_PUBLIC else await self._refusal(scope)
        return refusal or await self._represent(path[1], scope)

    async def _refusal(self, scope: Scope) -> Answer | None:
        try:
            await self._identify(scope)
        except NotAuthenticated as exc:
            return _error(401, exc.code, str(exc), ((b"www-authenticate", b"Bearer"),))
        except OriginRefused as exc:
            return _error(403, exc.code, str(exc))
        except AuthenticationUnavailable as exc:
            return _unavailable(str(exc), exc.code)
        return None

    async def _represent(self, hash_hex: str, scope: Scope) -> Answer:
        asked = _looked_at(scope["headers"])
        if conditional.is_known(asked.get(b"if-none-match"), hash_hex):
            KNOWN.inc()
            return Answer(304, _lasting(hash_hex))
        try:
            audio = await self._find(hash_hex)
        except Unavailable:
            REQUESTS.labels("unavailable").inc()
            return _unavailable("Audio cannot be read right now. Try again.", "unavailable")
        if audio is None:
            REQUESTS.labels("gone").inc()
            return _error(404, "audio_gone", "This audio is not here (any longer): ask for its block again.")
        touches().note(hash_hex)
        wanted = asked.get(b"range") if scope["method"] == "GET" else None  # HEAD has no ranges
        if wanted and not conditional.may_be_partial(asked.get(b"if-range"), audio.checksum):
            wanted = None
        return _with_body(audio, hash_hex, wanted)

    async def _find(self, hash_hex: str) -> Audio | None:
        """Where it is now: Redis first, since what leaves Redis is in SQLite by then."""
        try:
            hot = await blob_reader().get(f"audio:{hash_hex}")
        except RedisError as exc:
            logger.warning("no hot audio: %s", type(exc).__name__)
            cold = await self.cold.get(hash_hex)
            if cold is None:  # it may well be in Redis
                raise Unavailable from exc
            return _cold_audio(cold)
        audio = _hot_audio(hot)
        if audio is None:
            cold = await self.cold.get(hash_hex)
            return _cold_audio(cold) if cold else None
        return audio


def _hot_audio(value: memoryview | None) -> Audio | None:
    if value is None:
        return None
    try:
        front, data = blob.split_front(value)
    except blob.BadBlob:  # the persister finds it, too, and has it made again
        return None
    HOT.inc()
    return Audio(data, front.media_type, front.sha256.hex())


def _cold_audio(found: Found) -> Audio:
    front = blob.front_of(found.header)  # whole, or the store would not have given it
    COLD.inc()
    return Audio(found.audio, front.media_type, front.sha256.hex())


def _looked_at(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """The headers that matter here; one that comes several times is one list."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in LOOKED_AT:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _with_body(audio: Audio, hash_hex: str, wanted: str | None) -> Answer:
    length = len(audio.data)
    try:
        span = conditional.span(wanted, length)
    except conditional.Unsatisfiable:
        return _error(
            416,
            "range_not_satisfiable",
            f"This audio has {length} bytes.",
            ((b"content-range", b"bytes */%d" % length),),
        )
    start, stop = span or (0, length)
    headers: Headers = (
        (b"content-type", _content_type(audio.media_type)),
        (b"content-length", b"%d" % (stop - start)),
        (b"accept-ranges", b"bytes"),
        (b"x-audio-sum", audio.checksum.encode()),
        *_lasting(hash_hex),
    )
    if span is None:
        return Answer(200, headers, bytes(audio.data))  # Daphne takes nothing else
    partial = (b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, length))
    return Answer(206, (*headers, partial), bytes(audio.data[start:stop]))


@lru_cache
def _content_type(media_type: str) -> bytes:
    return media_type.encode() if MEDIA_TYPE.fullmatch(media_type) else b"application/octet-stream"


def _lasting(hash_hex: str) -> Headers:
    """What says how long this may be kept: for ever, the name stands for these words in this voice."""
    scope = "public" if settings.AUDIO_PUBLIC else "private"
    return (
        (b"etag", f'"{hash_hex}"'.encode()),
        (b"cache-control", f"{scope}, {FOR_EVER}".encode()),
        (b"x-content-type-options", b"nosniff"),
    )


def _unavailable(message: str, code: str) -> Answer:
    return _error(503, code, message, ((b"retry-after", b"%d" % RETRY_SECONDS),))


def _error(status: int, code: str, message: str, more: Headers = ()) -> Answer:
    content = json.dumps(error_body.body(status, message, code=code)).encode()
    headers: Headers = (
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    )
    return Answer(status, (*headers, *more), content)


application = AudioApplication()
