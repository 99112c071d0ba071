"""GET and HEAD of /v1/audio/{hash}: an ASGI application without Django's handler, since every played block is
fetched here. Reads Redis first, then the audio store; no middleware, and no ORM on the event loop.
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

from audiocache import aliases, blob
from audiocache.errors import StoreUnavailable
from audiocache.store import Store, StoredAudio, store_for
from config.observability import metrics
from config.redis import keys
from config.redis.blob_reader import blob_reader
from yapit.accounts.identity import identify_scope
from yapit.api.http import conditional, error_body
from yapit.errors import AuthenticationUnavailable, NotAuthenticated, OriginRefused
from yapit.synthesis.access_log import access_log

logger = logging.getLogger(__name__)

AUDIO_PATH = re.compile(r"/v1/audio/([0-9a-f]{64})")
MEDIA_TYPE = re.compile(r"audio/[a-z0-9.+-]+(; ?codecs=[a-z0-9.,+-]+)?")
CONDITIONAL_HEADERS = frozenset({b"if-none-match", b"if-range", b"range"})
IMMUTABLE = "max-age=31536000, immutable"
COLD_THREADS = 2
COLD_LIMIT = 1024  # pending reads of the store; more are refused
RETRY_SECONDS = 1

REQUESTS = metrics.counter("audio_requests", "Requests for audio by how they ended", ["outcome"])
HOT, COLD, KNOWN = (REQUESTS.labels(outcome) for outcome in ("hot", "cold", "known"))

Scope = Mapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]
Bounds = tuple[int, int | None]  # of a slice


class AudioUnavailable(Exception):
    """The stores cannot be read right now."""


@dataclass(frozen=True, slots=True)
class AudioResponse:
    status: int
    headers: Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class LoadedAudio:
    """Audio or a part of it, with the media type, hexadecimal SHA-256 and length of the whole."""

    data: bytes | memoryview
    media_type: str
    checksum: str
    length: int
    offset: int = 0  # of `data` in the whole


class ColdReads:
    """Reads of the audio store in dedicated threads, so that the disk never blocks the event loop.

    Not an executor: its overhead per call exceeds the duration of most reads.
    """

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._requests: SimpleQueue[tuple[str, Bounds | None, asyncio.Future[StoredAudio | None]]] = (
            SimpleQueue()
        )
        self._done: deque[tuple[asyncio.Future[StoredAudio | None], StoredAudio | Exception | None]] = deque()
        self._pending = 0
        self._threads: list[threading.Thread] = []

    async def get(self, hash_hex: str, bounds: Bounds | None = None) -> StoredAudio | None:
        """The audio, or the part between these bounds."""
        if self._pending >= COLD_LIMIT:
            raise AudioUnavailable
        if len(self._threads) < min(COLD_THREADS, self._pending + 1):
            self._start_thread()
        self._pending += 1
        future: asyncio.Future[StoredAudio | None] = asyncio.get_running_loop().create_future()
        self._requests.put((hash_hex, bounds, future))
        try:
            return await future
        except StoreUnavailable as exc:
            logger.warning("audio cannot be read: %s", exc)
            raise AudioUnavailable from exc

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"audio-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            hash_hex, bounds, future = self._requests.get()
            outcome: StoredAudio | Exception | None
            try:
                store = self._store()
                outcome = store.get_range(hash_hex, *bounds) if bounds else store.get(hash_hex)
            except Exception as exc:  # raised by `get`
                outcome = exc
            self._done.append((future, outcome))
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                future.get_loop().call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        """Deliver all completed reads, on the event loop. Futures of disconnected clients are cancelled."""
        while self._done:
            future, outcome = self._done.popleft()
            self._pending -= 1
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


class AudioApplication:
    """`identify` raises as yapit.accounts.identity.identify_scope does; `store` is called at each read."""

    def __init__(
        self,
        identify: Callable[[Scope], Awaitable[object]] = identify_scope,
        store: Callable[[], Store] = lambda: store_for(aliases.AUDIO),
    ) -> None:
        self._identify = identify
        self.cold = ColdReads(store)

    async def __call__(self, scope: Scope, receive: object, send: Send) -> None:
        response = await self.respond(scope)
        body = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        await send({"type": "http.response.body", "body": body})

    async def respond(self, scope: Scope) -> AudioResponse:
        """Authenticates first: an unauthenticated client must not learn whether audio exists."""
        path = AUDIO_PATH.fullmatch(scope["path"])
        if path is None:
            return _error(404, "not_found", "There is nothing here.")
        if scope["method"] not in ("GET", "HEAD"):
            return _error(405, "method_not_allowed", "Audio can only be read.", ((b"allow", b"GET, HEAD"),))
        error = None if settings.AUDIO_PUBLIC else await self._authentication_error(scope)
        return error or await self._serve(path[1], scope)

    async def _authentication_error(self, scope: Scope) -> AudioResponse | None:
        try:
            await self._identify(scope)
        except NotAuthenticated as exc:
            return _error(401, exc.code, str(exc), ((b"www-authenticate", b"Bearer"),))
        except OriginRefused as exc:
            return _error(403, exc.code, str(exc))
        except AuthenticationUnavailable as exc:
            return _unavailable(str(exc), exc.code)
        return None

    async def _serve(self, hash_hex: str, scope: Scope) -> AudioResponse:
        headers = _conditional_headers(scope["headers"])
        if conditional.is_known(headers.get(b"if-none-match"), hash_hex):
            KNOWN.inc()
            return AudioResponse(304, _cache_headers(hash_hex))
        # HEAD does not support ranges.
        byte_range = headers.get(b"range") if scope["method"] == "GET" else None
        # If-Range is judged by the checksum, which is known with the audio only.
        bounds = conditional.bounds(byte_range) if byte_range and b"if-range" not in headers else None
        try:
            audio = await self._find(hash_hex, bounds)
        except AudioUnavailable:
            REQUESTS.labels("unavailable").inc()
            return _unavailable("Audio cannot be read right now. Try again.", "unavailable")
        if audio is None:
            REQUESTS.labels("gone").inc()
            return _error(404, "audio_gone", "This audio is not here (any longer): ask for its block again.")
        access_log().note(hash_hex)
        if byte_range and not conditional.may_be_partial(headers.get(b"if-range"), audio.checksum):
            byte_range = None
        return _audio_response(audio, hash_hex, byte_range)

    async def _find(self, hash_hex: str, bounds: Bounds | None) -> LoadedAudio | None:
        """From Redis first: audio is stored before it is removed from Redis.

        From the store, only the part between the bounds.
        """
        try:
            hot = await blob_reader().get(keys.audio(hash_hex))
        except RedisError as exc:
            logger.warning("hot audio unavailable: %s", type(exc).__name__)
            cold = await self.cold.get(hash_hex, bounds)
            if cold is None:  # it may be in Redis
                raise AudioUnavailable from exc
            return _cold_audio(cold, bounds)
        audio = _hot_audio(hot)
        if audio is None:
            cold = await self.cold.get(hash_hex, bounds)
            return _cold_audio(cold, bounds) if cold else None
        return audio


def _hot_audio(value: memoryview | None) -> LoadedAudio | None:
    if value is None:
        return None
    try:
        front, data = blob.split_front(value)
    except blob.BadBlob:  # the persister detects it as well and has it synthesized again
        return None
    HOT.inc()
    return LoadedAudio(data, front.media_type, front.sha256.hex(), front.length)


def _cold_audio(stored: StoredAudio, bounds: Bounds | None) -> LoadedAudio:
    front = blob.front_of(stored.header)  # verified by the store
    offset = slice(*bounds).indices(front.length)[0] if bounds else 0
    COLD.inc()
    return LoadedAudio(stored.audio, front.media_type, front.sha256.hex(), front.length, offset)


def _conditional_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """The conditional and range headers; repeated ones are joined with commas."""
    values: dict[bytes, str] = {}
    for name, value in headers:
        if name in CONDITIONAL_HEADERS:
            text = value.decode("latin-1")
            values[name] = f"{values[name]}, {text}" if name in values else text
    return values


def _audio_response(audio: LoadedAudio, hash_hex: str, byte_range: str | None) -> AudioResponse:
    length = audio.length
    try:
        span = conditional.span(byte_range, length)
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
        *_cache_headers(hash_hex),
    )
    if span is None:
        return AudioResponse(200, headers, bytes(audio.data))  # Daphne accepts bytes only
    partial = (b"content-range", b"bytes %d-%d/%d" % (start, stop - 1, length))
    return AudioResponse(
        206, (*headers, partial), bytes(audio.data[start - audio.offset : stop - audio.offset])
    )


@lru_cache
def _content_type(media_type: str) -> bytes:
    return media_type.encode() if MEDIA_TYPE.fullmatch(media_type) else b"application/octet-stream"


def _cache_headers(hash_hex: str) -> Headers:
    """Cacheable forever: the hash identifies text, voice and engine revision."""
    scope = "public" if settings.AUDIO_PUBLIC else "private"
    return (
        (b"etag", f'"{hash_hex}"'.encode()),
        (b"cache-control", f"{scope}, {IMMUTABLE}".encode()),
        (b"x-content-type-options", b"nosniff"),
    )


def _unavailable(message: str, code: str) -> AudioResponse:
    return _error(503, code, message, ((b"retry-after", b"%d" % RETRY_SECONDS),))


def _error(status: int, code: str, message: str, extra: Headers = ()) -> AudioResponse:
    content = json.dumps(error_body.body(status, message, code=code)).encode()
    headers: Headers = (
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    )
    return AudioResponse(status, (*headers, *extra), content)


application = AudioApplication()
