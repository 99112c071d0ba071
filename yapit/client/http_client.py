"""The HTTP side, by the standard library, in a few threads: audio, documents, one text at a time."""

import asyncio
import contextlib
import hashlib
import http.client
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from yapit.client.errors import (
    ClientError,
    NotAuthenticated,
    OriginRefused,
    Refused,
    Unreachable,
    UsageLimit,
)
from yapit.protocol import Usage

THREADS = 4
CONNECT_SECONDS = 10.0
SECONDS = 30.0  # without a byte
LONG_SECONDS = 90.0  # the same, where the answer must be made first: longer than the server takes at most
LARGEST = 64 * 1024 * 1024  # of an answer
NOT_DONE = frozenset({429, 503})  # try again later
ON_THE_WAY = frozenset({502, 504})  # perhaps done, perhaps not
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
BROKEN = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refused("bad_answer", "The server's answer is not JSON.", status=self.status) from None


@dataclass(slots=True)
class Call:
    """One exchange; whoever began it may give it up, from another thread."""

    method: str
    path: str
    content: bytes | None
    headers: Mapping[str, str]
    connection: http.client.HTTPConnection | None = None
    is_given_up: bool = False

    def give_up(self) -> None:
        """The server is to know that nobody waits any more."""
        self.is_given_up = True
        if self.connection:
            _hang_up(self.connection)


class Web:
    """Each thread keeps one connection. No redirect is followed: the key goes nowhere else."""

    def __init__(self, url: str, key: str, *, patience: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the address of a server: {url!r}")
        self._host, self._port = parts.hostname, parts.port
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._patience = patience
        self._kept = threading.local()
        self._open: set[http.client.HTTPConnection] = set()
        self._is_closed = False
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="yapit-client")

    async def get(self, path: str, **headers: str) -> Response:
        return await self._patiently("GET", path, None, headers, is_repeatable=True)

    async def post(self, path: str, body: object, *, is_repeatable: bool = False, **headers: str) -> Response:
        """Tried again where the server says that it did nothing. Where that is not known, only if doing it
        twice is the same as once."""
        headers = {"Content-Type": "application/json", **headers}
        content = json.dumps(body).encode()
        return await self._patiently("POST", path, content, headers, is_repeatable=is_repeatable)

    def close(self) -> None:
        self._is_closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in tuple(self._open):
            _hang_up(connection)
            connection.close()

    async def _patiently(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str],
        *,
        is_repeatable: bool,
    ) -> Response:
        give_up_at = time.monotonic() + self._patience
        pause = FIRST_PAUSE
        while True:
            call = Call(method, self._prefix + path, content, {**self._headers, **headers})
            try:
                return _checked(await self._in_a_thread(call, give_up_at))
            except Refused as refusal:
                if not _comes_back(refusal, is_repeatable=is_repeatable):
                    raise
                error: ClientError = refusal
                wait = refusal.retry_after or pause
            except BROKEN as broken:
                error = Unreachable(f"The server does not answer: {type(broken).__name__}.")
                if not is_repeatable:
                    raise error from broken
                wait = random.uniform(0, pause)  # noqa: S311  # jitter, not a secret
            if time.monotonic() + wait > give_up_at:
                raise error
            await asyncio.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _in_a_thread(self, call: Call, give_up_at: float) -> Response:
        if self._is_closed:
            raise ClientError("This client is closed.")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(give_up_at - time.monotonic()):
                return await loop.run_in_executor(self._pool, self._exchange, call)
        finally:
            call.give_up()

    def _exchange(self, call: Call) -> Response:
        connection = self._connection(call.method)
        call.connection = connection
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(SECONDS if call.method == "GET" else LONG_SECONDS)
            if call.is_given_up or self._is_closed:  # asked now: who gave up before saw no connection
                raise ConnectionAbortedError
            connection.request(call.method, call.path, call.content, call.headers)
            response = connection.getresponse()
            data = response.read(LARGEST + 1)
            if len(data) > LARGEST:
                raise http.client.HTTPException("an answer of more than may be")
        except BROKEN:
            self._drop(connection)
            raise
        call.connection = None
        return Response(response.status, {k.lower(): v for k, v in response.getheaders()}, data)

    def _connection(self, method: str) -> http.client.HTTPConnection:
        """A kept one may just have been closed by the server: only what can be repeated goes there."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if method == "GET" and kept is not None:
            return kept
        if kept is not None:
            self._drop(kept)
        made = self._made()
        self._kept.connection = made
        self._open.add(made)
        return made

    def _made(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        return http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=self._tls)

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._open.discard(connection)
        self._kept.connection = None


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """Also wakes the thread that reads from it, which closing would not."""
    if connection.sock:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def is_audio(response: Response) -> bool:
    """And whole, by the sum that the server sends along, if it does."""
    stated = response.headers.get("x-audio-sum")
    is_whole = stated is None or hashlib.sha256(response.body).hexdigest() == stated
    return is_whole and response.headers.get("content-type", "").startswith("audio/")


def _checked(response: Response) -> Response:
    if response.status < 300:
        return response
    if response.status < 400:
        raise Refused("moved", "The server says that it is somewhere else.", status=response.status)
    code, message = _error_of(response)
    if response.status == 401:
        raise NotAuthenticated(message)
    if response.status == 403 and code == "origin_refused":
        raise OriginRefused(message)
    if response.status == 402:
        raise UsageLimit(message, _usage(response))
    raise Refused(code, message, status=response.status, retry_after=_seconds(response))


def _comes_back(refusal: Refused, *, is_repeatable: bool) -> bool:
    """A 502 with a code is the server's own: the voice failed, and would fail again."""
    is_ours = not refusal.code.startswith("http_")
    lost_on_the_way = refusal.status in ON_THE_WAY and not (refusal.status == 502 and is_ours)
    return refusal.status in NOT_DONE or (is_repeatable and lost_on_the_way)


def _usage(response: Response) -> Usage | None:
    try:
        return msgspec.convert(json.loads(response.body)["error"]["usage"], Usage)
    except (ValueError, RecursionError, KeyError, TypeError):  # msgspec's own is a ValueError
        return None


def _error_of(response: Response) -> tuple[str, str]:
    fallback = f"http_{response.status}", f"The server answered {response.status}."
    try:
        error = json.loads(response.body)["error"]
        code, message = error["code"], error["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return fallback
    return (code, message) if isinstance(code, str) and isinstance(message, str) else fallback


def _seconds(response: Response) -> float | None:
    stated = response.headers.get("retry-after", "")
    return float(stated) if stated.isascii() and stated.isdigit() and len(stated) < 6 else None
