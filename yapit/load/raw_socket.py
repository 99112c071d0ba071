"""Raw WebSocket client for load: text frames only, at little CPU time.

It simulates hundreds of listeners beside the server that it measures. It supports neither fragments nor
extensions (it offers none), and does not reconnect.
"""

import asyncio
import base64
import hashlib
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, cast
from urllib.parse import urlsplit

SOCKET_PATH = "/v1/ws/tts"
ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MAX_FRAME = 1 << 20
OPEN_SECONDS = 30.0
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A  # with the FIN bit
NO_MASK = bytes(4)  # masks protect caching proxies, and cost a pass over each byte
LOST = 1006

OnText = Callable[[memoryview], None]
OnClose = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        is_secure = parts.scheme in ("https", "wss")
        tls = ssl.create_default_context() if is_secure else None
        return cls(parts.hostname or "127.0.0.1", parts.port or (443 if is_secure else 80), tls)


class RawSocket(asyncio.Protocol):
    """Calls `on_text` with each message, whose bytes are valid during the call, and `on_close` once."""

    def __init__(self, host: str, token: str, on_text: OnText, on_close: OnClose) -> None:
        self._on_text, self._on_close = on_text, on_close
        self._key = base64.b64encode(secrets.token_bytes(16))
        self._request = (
            f"GET {SOCKET_PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {self._key.decode()}\r\n"
            f"Sec-WebSocket-Protocol: yapit.v1\r\nAuthorization: Bearer {token}\r\n\r\n"
        ).encode()
        self._rest = b""  # the beginning of an incomplete frame
        self._code = LOST
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closed = asyncio.Event()

    @classmethod
    async def open(cls, url: str, token: str, on_text: OnText, on_close: OnClose) -> Self:
        """Connect and complete the handshake. Raises OSError."""
        address = Address.of(url)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(OPEN_SECONDS):
            _, socket = await loop.create_connection(
                lambda: cls(f"{address.host}:{address.port}", token, on_text, on_close),
                address.host,
                address.port,
                ssl=address.tls,
            )
            try:
                await socket._opened
            except BaseException:
                await socket.close()
                raise
        return socket

    def send(self, text: bytes) -> None:
        self._send(TEXT, text)

    async def close(self) -> None:
        """Close without waiting for the server. Repeatable."""
        if not self._transport.is_closing():
            self._send(CLOSE, (1000).to_bytes(2))
        self._transport.abort()
        await self._closed.wait()

    def _send(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2)
        self._transport.write(b"".join((bytes((kind,)), length, NO_MASK, payload)))

    # --- asyncio.Protocol -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        if self._opened.done():
            self._handle_frames(data)
        else:
            self._complete_handshake(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()
        if self._opened.done():
            self._on_close(self._code)
        else:
            self._opened.set_exception(ConnectionError("the server hung up"))

    def _complete_handshake(self, data: bytes) -> None:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self._rest = data
            return
        accept = base64.b64encode(hashlib.sha1(self._key + ACCEPT_GUID, usedforsecurity=False).digest())
        if head.startswith(b"HTTP/1.1 101 ") and accept in head:
            self._opened.set_result(None)
            self._handle_frames(rest)
        else:
            self._opened.set_exception(ConnectionError(f"no WebSocket: {head[:100]!r}"))
            self._transport.close()

    def _handle_frames(self, data: bytes) -> None:
        """Handle the complete frames and keep the rest."""
        at = 0
        with memoryview(data) as view:
            while (bounds := _frame(data, at)) is not None:
                kind, begin, end = bounds
                if end > len(data):
                    break
                self._on_frame(kind, view[begin:end])
                at = end
        self._rest = data[at:]
        if len(self._rest) > MAX_FRAME:
            self._transport.abort()

    def _on_frame(self, kind: int, payload: memoryview) -> None:
        if kind == TEXT:
            self._on_text(payload)
        elif kind == PING:
            self._send(PONG, bytes(payload))
        elif kind == CLOSE:
            self._code = int.from_bytes(payload[:2]) if len(payload) >= 2 else 1005
            self._transport.close()
        elif kind != PONG:
            self._transport.abort()


def _frame(buffer: bytes, at: int) -> tuple[int, int, int] | None:
    """Kind of the frame, begin and end of its payload; None while the header is incomplete."""
    if len(buffer) < at + 2:
        return None
    size, begin = buffer[at + 1], at + 2
    if size == 126:
        size, begin = int.from_bytes(buffer[at + 2 : at + 4]), at + 4
    elif size == 127:
        size, begin = int.from_bytes(buffer[at + 2 : at + 10]), at + 10
    return (buffer[at], begin, begin + size) if len(buffer) >= begin else None
