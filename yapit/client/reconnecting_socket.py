"""Reconnecting WebSocket: exponential back-off with jitter, final refusals, detection of lost frames."""

import asyncio
import random
import time
from typing import Any, Protocol

import msgspec

from yapit.client.errors import ClientError, NotAuthenticated, OriginRefused, Refused, Unreachable
from yapit.protocol import SUBPROTOCOL

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
except ImportError as missing:
    raise ImportError("yapit.client needs the package websockets: pip install websockets") from missing

SYNTHESIS_PATH, EVENTS_PATH = "/v1/ws/tts", "/v1/ws/events"
MAX_FRAME_BYTES = 1024 * 1024
OPEN_SECONDS = 20.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SETTLED_SECONDS = 5.0  # a connection that lasted this long resets the back-off
FINAL_CLOSE_CODES: dict[int, type[ClientError]] = {
    4400: NotAuthenticated,
    4401: NotAuthenticated,
    4403: OriginRefused,
    4407: NotAuthenticated,
}
NOT_FOUND, TOO_MANY, UNAVAILABLE = 4404, 4429, 1013
TOO_MANY_SECONDS = 5.0
LOST = 1006
TEMPORARY_STATUSES = frozenset({408, 425, 429})  # of a proxy in front of the server
CLOSE_CODES = {401: 4401, 403: 4403}  # HTTP status of the handshake -> the close code of the same meaning


class FrameHandler(Protocol):
    """Callbacks of a ReconnectingSocket, awaited one after the other."""

    @property
    def is_idle(self) -> bool:
        """No answer is outstanding, so a connection without frames is usable."""

    async def on_open(self) -> None: ...

    async def on_message(self, message: Any) -> None:
        """A message of one of the types that the socket was made for."""

    async def on_gap(self) -> None:
        """At least one frame was lost."""


class ReconnectingSocket:
    """A WebSocket that `run` keeps open until it is cancelled; it raises where reconnecting is pointless."""

    def __init__(
        self, url: str, key: str, handler: FrameHandler, *, path: str, messages: Any, patience: float
    ) -> None:
        self._url = url.replace("http", "ws", 1).rstrip("/") + path
        self._decoder = msgspec.json.Decoder(messages)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._handler = handler
        self._patience = patience
        self._socket: ClientConnection | None = None
        self._lost_at: float | None = None  # cleared by the next readable frame
        self._last_seq = 0
        self.connections = 0
        self.unreadable_frames = 0

    async def run(self) -> None:
        attempt = 0
        while True:
            begun = time.monotonic()
            code = await self._connect_and_receive()
            now = time.monotonic()
            if code in FINAL_CLOSE_CODES:
                raise FINAL_CLOSE_CODES[code]("The server refused this key, or the way it came.")
            if code == NOT_FOUND:
                raise Refused("not_found", "There is no such socket on this server.")
            if self._lost_at is None:
                self._lost_at = now
            elif now - self._lost_at > self._patience:
                raise _final_error(code, self._patience)
            if now - begun > SETTLED_SECONDS:
                attempt = 0
            await asyncio.sleep(pause(attempt, TOO_MANY_SECONDS if code == TOO_MANY else FIRST_PAUSE))
            attempt += 1

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    async def send(self, text: bytes) -> None:
        """Send a frame; without a connection it is dropped, and `on_open` requests again."""
        if self._socket is not None:
            try:
                await self._socket.send(text, text=True)
            except ConnectionClosed:
                self._socket = None

    def restart(self) -> None:
        """Abort a connection that is open but silent."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def _connect_and_receive(self) -> int:
        """Handle one connection to its end and return the close code."""
        try:
            async with _Connect(
                self._url,
                additional_headers=self._headers,
                subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
                compression=None,
                max_size=MAX_FRAME_BYTES,
                open_timeout=OPEN_SECONDS,
                close_timeout=1.0,
                proxy=None,
            ) as socket:
                self._on_open(socket)
                await self._handler.on_open()
                while True:
                    await self._receive(await socket.recv(decode=False))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else LOST
        except InvalidStatus as refusal:
            return _close_code(refusal.response.status_code)
        except (OSError, TimeoutError, WebSocketException):
            return LOST
        finally:
            self._socket = None

    def _on_open(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last_seq = 0
        self.connections += 1
        if self._handler.is_idle:
            self._lost_at = None

    async def _receive(self, text: bytes) -> None:
        try:
            message = self._decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            self.unreadable_frames += 1  # damaged or of a later version; the next `seq` reveals the gap
            return
        self._lost_at = None
        is_gap = message.seq != self._last_seq + 1
        self._last_seq = message.seq
        await self._handler.on_message(message)
        if is_gap:
            await self._handler.on_gap()


class _Connect(connect):
    """Follows no redirect, so that the key is sent to no other server."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


def _close_code(status: int) -> int:
    """The close code that corresponds to an HTTP status of the handshake."""
    is_final = 300 <= status < 500 and status not in TEMPORARY_STATUSES
    return CLOSE_CODES.get(status, NOT_FOUND) if is_final else LOST


def _final_error(code: int, patience: float) -> ClientError:
    if code == TOO_MANY:
        return Refused(
            "too_many_connections", "The account has too many connections open.", retry_after=LONGEST_PAUSE
        )
    if code == UNAVAILABLE:
        return Refused("unavailable", "Keys cannot be checked right now.", retry_after=LONGEST_PAUSE)
    return Unreachable(f"No usable connection for {patience:g} seconds (closed with {code}).")


def pause(attempt: int, shortest: float = FIRST_PAUSE) -> float:
    """Seconds before a reconnection. Full jitter spreads the clients of a restarted server."""
    limit = max(shortest, min(LONGEST_PAUSE, 2.0**attempt))
    return random.uniform(shortest, max(limit, shortest * 2))  # noqa: S311  # jitter, not a secret
