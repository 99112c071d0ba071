"""A WebSocket that comes back after a loss, with back-off and jitter, unless that is pointless."""

import asyncio
import random
import time
from typing import Protocol

import msgspec

from yapit.client.errors import ClientError, NotAuthenticated, OriginRefused, Refused, Unreachable
from yapit.protocol import SUBPROTOCOL, ServerMessage

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
except ImportError as missing:
    raise ImportError("yapit.client needs the package websockets: pip install websockets") from missing

SOCKET_PATH = "/v1/ws/tts"
LARGEST = 1024 * 1024  # of a frame
OPEN_SECONDS = 20.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SETTLED_SECONDS = 5.0  # a connection that lived this long was a good one: short pauses again
NEVER_AGAIN: dict[int, type[ClientError]] = {
    4400: NotAuthenticated,
    4401: NotAuthenticated,
    4403: OriginRefused,
    4407: NotAuthenticated,
}
NO_SUCH_SOCKET, TOO_MANY, CANNOT_CHECK = 4404, 4429, 1013
TOO_MANY_SECONDS = 5.0
LOST = 1006
BUSY = frozenset({408, 425, 429})  # what a proxy in front may say for a moment
LIKE_A_CLOSE = {401: 4401, 403: 4403}

_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)


class Hearer(Protocol):
    """Who uses the line. Its methods are awaited one after the other."""

    @property
    def is_content(self) -> bool:
        """It misses nothing, so it has nothing against silence."""

    async def on_open(self) -> None: ...

    async def on_message(self, message: ServerMessage) -> None: ...

    async def on_gap(self) -> None: ...


class Line:
    """`run` keeps it up until it is cancelled, or raises why it may not."""

    def __init__(self, url: str, key: str, hearer: Hearer, *, patience: float) -> None:
        self._url = url.replace("http", "ws", 1).rstrip("/") + SOCKET_PATH
        self._headers = {"Authorization": f"Bearer {key}"}
        self._hearer = hearer
        self._patience = patience
        self._socket: ClientConnection | None = None
        self._lost_at: float | None = None  # and nothing was understood since
        self._last_seq = 0
        self.connections = 0
        self.unreadable = 0  # frames

    async def run(self) -> None:
        attempt = 0
        while True:
            begun = time.monotonic()
            code = await self._connect_and_hear()
            now = time.monotonic()
            if code in NEVER_AGAIN:
                raise NEVER_AGAIN[code]("The server refused this key, or the way it came.")
            if code == NO_SUCH_SOCKET:
                raise Refused("not_found", "There is no such socket on this server.")
            if self._lost_at is None:
                self._lost_at = now
            elif now - self._lost_at > self._patience:
                raise _given_up(code, self._patience)
            if now - begun > SETTLED_SECONDS:
                attempt = 0
            await asyncio.sleep(pause(attempt, TOO_MANY_SECONDS if code == TOO_MANY else FIRST_PAUSE))
            attempt += 1

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    async def send(self, text: bytes) -> None:
        """Into nothing while there is no connection: `on_open` is for asking again."""
        if self._socket is not None:
            try:
                await self._socket.send(text, text=True)
            except ConnectionClosed:
                self._socket = None

    def restart(self) -> None:
        """Give this connection up: it is open, but nobody is there."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def _connect_and_hear(self) -> int:
        """The code that it was closed with."""
        try:
            async with _Connect(
                self._url,
                additional_headers=self._headers,
                subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
                compression=None,
                max_size=LARGEST,
                open_timeout=OPEN_SECONDS,
                close_timeout=1.0,
                proxy=None,
            ) as socket:
                self._opened(socket)
                await self._hearer.on_open()
                while True:
                    await self._hear(await socket.recv(decode=False))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else LOST
        except InvalidStatus as refusal:
            return _like_a_close(refusal.response.status_code)
        except (OSError, TimeoutError, WebSocketException):
            return LOST
        finally:
            self._socket = None

    def _opened(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last_seq = 0
        self.connections += 1
        if self._hearer.is_content:
            self._lost_at = None

    async def _hear(self, text: bytes) -> None:
        try:
            message = _decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            self.unreadable += 1  # of a later version, or garbled; the next `seq` tells that it is missing
            return
        self._lost_at = None
        is_gap = message.seq != self._last_seq + 1
        self._last_seq = message.seq
        await self._hearer.on_message(message)
        if is_gap:
            await self._hearer.on_gap()


class _Connect(connect):
    """Follows no redirect: the key goes nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def _like_a_close(status: int) -> int:
    """The close code that says the same as a refusal before there was a WebSocket."""
    is_final = 300 <= status < 500 and status not in BUSY
    return LIKE_A_CLOSE.get(status, NO_SUCH_SOCKET) if is_final else LOST


def _given_up(code: int, patience: float) -> ClientError:
    if code == TOO_MANY:
        return Refused(
            "too_many_connections", "The account has too many connections open.", retry_after=LONGEST_PAUSE
        )
    if code == CANNOT_CHECK:
        return Refused("unavailable", "Keys cannot be checked right now.", retry_after=LONGEST_PAUSE)
    return Unreachable(f"No usable connection for {patience:g} seconds (closed with {code}).")


def pause(attempt: int, shortest: float = FIRST_PAUSE) -> float:
    """Full jitter, so that the listeners of a restarted server do not come back all at once."""
    ceiling = max(shortest, min(LONGEST_PAUSE, 2.0**attempt))
    return random.uniform(shortest, max(ceiling, shortest * 2))  # noqa: S311  # jitter, not a secret
