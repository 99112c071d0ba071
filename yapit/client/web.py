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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from yapit.client.errors import ClientError, NotAuthenticated, OriginRefused, Refused, Unreachable

THREADS = 4
SECONDS = 30.0  # without a byte
LARGEST = 64 * 1024 * 1024  # of an answer
AGAIN = frozenset({429, 502, 503})
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
BROKEN = (OSError, http.client.HTTPException)

Note = Callable[[http.client.HTTPConnection], None]


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


class Web:
    """Each thread keeps one connection."""

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
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="yapit-client")

    async def get(self, path: str, **headers: str) -> Response:
        return await self._patiently("GET", path, None, headers)

    async def post(self, path: str, body: object, *, is_repeatable: bool = False, **headers: str) -> Response:
        """Not tried again when the connection breaks, unless doing it twice is the same as once."""
        if is_repeatable:
            return await self._patiently("POST", path, body, headers)
        try:
            return _checked(await self._in_a_thread("POST", path, body, headers))
        except BROKEN as error:
            raise _unreachable(error) from error

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in tuple(self._open):
            _hang_up(connection)
            connection.close()

    async def _patiently(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> Response:
        give_up_at = time.monotonic() + self._patience
        pause = FIRST_PAUSE
        while True:
            try:
                return _checked(await self._in_a_thread(method, path, body, headers))
            except Refused as refusal:
                if refusal.status not in AGAIN:
                    raise
                error: Exception = refusal
                wait = refusal.retry_after or pause
            except BROKEN as broken:
                error, wait = broken, random.uniform(0, pause)  # noqa: S311  # jitter, not a secret
            if time.monotonic() + wait > give_up_at:
                raise error if isinstance(error, ClientError) else _unreachable(error) from error
            await asyncio.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _in_a_thread(
        self, method: str, path: str, body: object, headers: Mapping[str, str]
    ) -> Response:
        loop = asyncio.get_running_loop()
        used: list[http.client.HTTPConnection] = []
        try:
            return await loop.run_in_executor(
                self._pool, self._exchange, method, path, body, headers, used.append
            )
        except asyncio.CancelledError:
            for connection in used:  # the server is to know that nobody waits any more
                _hang_up(connection)
            raise

    def _exchange(
        self, method: str, path: str, body: object, headers: Mapping[str, str], note: Note
    ) -> Response:
        connection = self._connection(is_new=method != "GET")
        note(connection)
        sent = {**self._headers, **headers}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, self._prefix + path, content, sent)
            response = connection.getresponse()
            data = response.read(LARGEST + 1)
        except BROKEN:
            self._drop(connection)
            raise
        if len(data) > LARGEST:
            self._drop(connection)
            raise http.client.HTTPException("an answer of more than may be")
        return Response(response.status, {k.lower(): v for k, v in response.getheaders()}, data)

    def _connection(self, *, is_new: bool) -> http.client.HTTPConnection:
        """A kept one may just have been closed by the server: only what can be repeated goes there."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if kept is not None and is_new:
            self._drop(kept)
            kept = None
        if kept is None:
            if self._tls:
                kept = http.client.HTTPSConnection(self._host, self._port, timeout=SECONDS, context=self._tls)
            else:
                kept = http.client.HTTPConnection(self._host, self._port, timeout=SECONDS)
            self._kept.connection = kept
            self._open.add(kept)
        return kept

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._open.discard(connection)
        self._kept.connection = None


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """Also wakes the thread that reads from it, which closing would not."""
    if connection.sock:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def is_whole(response: Response) -> bool:
    """By the sum that the server sends along, if it does."""
    stated = response.headers.get("x-audio-sum")
    return stated is None or hashlib.sha256(response.body).hexdigest() == stated


def _checked(response: Response) -> Response:
    if response.status < 400:
        return response
    code, message = _error_of(response)
    if response.status == 401:
        raise NotAuthenticated(message)
    if response.status == 403 and code == "origin_refused":
        raise OriginRefused(message)
    raise Refused(code, message, status=response.status, retry_after=_seconds(response))


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


def _unreachable(error: Exception) -> Unreachable:
    return Unreachable(f"The server does not answer: {type(error).__name__}.")
