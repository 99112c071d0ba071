"""HTTP client: `http.client` connections in a few threads, with retries."""

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
READ_SECONDS = 30.0  # without a byte
LONG_READ_SECONDS = 90.0  # the same for a POST: longer than the server takes at most
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
NOT_DONE = frozenset({429, 503})  # statuses of requests that had no effect
PERHAPS_DONE = frozenset({502, 504})  # statuses of a proxy, for example: the effect is unknown
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
CONNECTION_ERRORS = (OSError, http.client.HTTPException)


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
class HttpCall:
    """One request, which the event loop may abort while a thread waits for the response."""

    method: str
    path: str
    content: bytes | None
    headers: Mapping[str, str]
    connection: http.client.HTTPConnection | None = None
    is_aborted: bool = False

    def abort(self) -> None:
        """Close the connection, so that the server stops working for this request."""
        self.is_aborted = True
        if self.connection:
            _shut_down(self.connection)


class HttpClient:
    """Each thread keeps one connection. Follows no redirect, so that the key is sent to no other server."""

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
        return await self._with_retries("GET", path, None, headers, is_repeatable=True)

    async def post(self, path: str, body: object, *, is_repeatable: bool = False, **headers: str) -> Response:
        """Send JSON. Retried if it had no effect; if that is unknown, only if the request `is_repeatable`."""
        headers = {"Content-Type": "application/json", **headers}
        content = json.dumps(body).encode()
        return await self._with_retries("POST", path, content, headers, is_repeatable=is_repeatable)

    def close(self) -> None:
        self._is_closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in tuple(self._open):
            _shut_down(connection)
            connection.close()

    async def _with_retries(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str],
        *,
        is_repeatable: bool,
    ) -> Response:
        deadline = time.monotonic() + self._patience
        pause = FIRST_PAUSE
        while True:
            call = HttpCall(method, self._prefix + path, content, {**self._headers, **headers})
            try:
                return _raise_for_status(await self._in_a_thread(call, deadline))
            except Refused as refusal:
                if not _is_retryable(refusal, is_repeatable=is_repeatable):
                    raise
                error: ClientError = refusal
                wait = refusal.retry_after or pause
            except CONNECTION_ERRORS as broken:
                error = Unreachable(f"The server does not answer: {type(broken).__name__}.")
                if not is_repeatable:
                    raise error from broken
                wait = random.uniform(0, pause)  # noqa: S311  # jitter, not a secret
            if time.monotonic() + wait > deadline:
                raise error
            await asyncio.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _in_a_thread(self, call: HttpCall, deadline: float) -> Response:
        if self._is_closed:
            raise ClientError("This client is closed.")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await loop.run_in_executor(self._pool, self._exchange, call)
        finally:
            call.abort()

    def _exchange(self, call: HttpCall) -> Response:
        connection = self._connection(call.method)
        call.connection = connection
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(READ_SECONDS if call.method == "GET" else LONG_READ_SECONDS)
            # Checked after `call.connection` is set: an earlier abort had no connection to close.
            if call.is_aborted or self._is_closed:
                raise ConnectionAbortedError
            connection.request(call.method, call.path, call.content, call.headers)
            response = connection.getresponse()
            data = response.read(MAX_RESPONSE_BYTES + 1)
            if len(data) > MAX_RESPONSE_BYTES:
                raise http.client.HTTPException("an answer of more than may be")
        except CONNECTION_ERRORS:
            self._drop(connection)
            raise
        call.connection = None
        return Response(response.status, {k.lower(): v for k, v in response.getheaders()}, data)

    def _connection(self, method: str) -> http.client.HTTPConnection:
        """The kept connection of this thread for a GET, otherwise a new one: the server may just have closed
        a kept one, and only a GET can be repeated."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if method == "GET" and kept is not None:
            return kept
        if kept is not None:
            self._drop(kept)
        new = self._new_connection()
        self._kept.connection = new
        self._open.add(new)
        return new

    def _new_connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        return http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=self._tls)

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._open.discard(connection)
        self._kept.connection = None


def _shut_down(connection: http.client.HTTPConnection) -> None:
    """Wake the thread that reads from the connection, which `close` would not."""
    if connection.sock:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def is_audio(response: Response) -> bool:
    """True for an audio file that matches the server's checksum, if there is one."""
    checksum = response.headers.get("x-audio-sum")
    is_whole = checksum is None or hashlib.sha256(response.body).hexdigest() == checksum
    return is_whole and response.headers.get("content-type", "").startswith("audio/")


def _raise_for_status(response: Response) -> Response:
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
    raise Refused(code, message, status=response.status, retry_after=_retry_after(response))


def _is_retryable(refusal: Refused, *, is_repeatable: bool) -> bool:
    """A 502 with a code of the server means that the voice failed; a repetition would fail too."""
    has_code = not refusal.code.startswith("http_")
    is_perhaps_done = refusal.status in PERHAPS_DONE and not (refusal.status == 502 and has_code)
    return refusal.status in NOT_DONE or (is_repeatable and is_perhaps_done)


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


def _retry_after(response: Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else None
