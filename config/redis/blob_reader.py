"""Pipelined GETs of large values over one connection, each read straight into a buffer of its size.

redis-py uses a connection for each request, copies the value once or twice and parses any type of reply: that
takes longer than Redis itself. Errors are those of redis-py.
"""

import asyncio
import builtins
import time
from collections import deque
from typing import cast

from django.conf import settings
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from config.per_loop import PerLoop
from config.redis.address import parse
from config.redis.transport import open_transport

CONNECT_SECONDS = 0.25
REPLY_SECONDS = 1.0
SCRATCH_BYTES = 16 * 1024
LARGEST_VALUE = 64 * 1024 * 1024
END = b"\r\n"

Value = memoryview | None


class _Connection(asyncio.BufferedProtocol):
    """One connection. Replies come in the order of the commands."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[asyncio.Future[Value], float]] = deque()  # and when each was requested
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._unread = b""
        self._value: bytearray | None = None  # the one being read, with its line end
        self._filled = 0

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def request(self, *words: bytes) -> asyncio.Future[Value]:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("The connection to Redis is lost")
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Value] = loop.create_future()
        self._waiting.append((reply, time.monotonic()))
        if not self._unsent:  # all commands of this turn of the event loop leave in one write
            loop.call_soon(self._write)
        self._unsent.append(_command(words))
        if self._timer is None:
            self._timer = loop.call_later(REPLY_SECONDS, self._check_timeout)
        return reply

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _write(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None:
            self._transport.write(b"".join(unsent))

    # --- asyncio.BufferedProtocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError("The connection to Redis is lost"))

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._value is None:
            return self._scratch
        return memoryview(self._value)[self._filled :]

    def buffer_updated(self, count: int) -> None:
        if self._value is None:
            self._unread += self._scratch[:count]
            self._parse()
            return
        self._filled += count
        if self._filled == len(self._value):
            self._finish_value()

    # --- Replies ---

    def _parse(self) -> None:
        data, at = self._unread, 0
        while self._value is None and (end := data.find(END, at)) >= 0:
            kind, rest = data[at : at + 1], data[at + 1 : end]
            at = end + len(END)
            if kind == b"$" and rest != b"-1":
                at = self._begin_value(int(rest), data, at)
            elif kind == b"-":
                self._resolve(ResponseError(rest.decode(errors="replace")))
            else:
                self._resolve(None)
        self._unread = data[at:]

    def _begin_value(self, size: int, data: bytes, at: int) -> int:
        if size > LARGEST_VALUE:
            self.close()
            return len(data)
        received = data[at : at + size + len(END)]
        self._value = bytearray(size + len(END))
        self._value[: len(received)] = received
        self._filled = len(received)
        if self._filled == len(self._value):
            self._finish_value()
        return at + len(received)

    def _finish_value(self) -> None:
        value, self._value = self._value, None
        self._resolve(memoryview(value)[: -len(END)] if value else None)

    def _resolve(self, outcome: Value | Exception) -> None:
        if not self._waiting:
            return
        reply, _ = self._waiting.popleft()
        if reply.done():  # the caller was cancelled
            return
        if isinstance(outcome, Exception):
            reply.set_exception(outcome)
        else:
            reply.set_result(outcome)

    def _fail(self, reason: Exception) -> None:
        while self._waiting:
            self._resolve(reason)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_timeout(self) -> None:
        """One timer for all requests: replies come in order, so the first one has waited longest."""
        self._timer = None
        if not self._waiting:
            return
        left = self._waiting[0][1] + REPLY_SECONDS - time.monotonic()
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._check_timeout)
            return
        self._fail(TimeoutError("Redis does not answer"))
        self.close()  # a late reply would be taken for that of the next request


class BlobReader:
    """Opens its connection on first use, and again when it is lost. For one event loop."""

    def __init__(self, url: str) -> None:
        self._address = parse(url)
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None

    async def get(self, key: str) -> Value:
        """The value, or None. Raises a RedisError within about two seconds."""
        try:
            return await (await self._open()).request(b"GET", key.encode())
        except ConnectionError:  # an idle connection may have been lost long ago
            return await (await self._open()).request(b"GET", key.encode())

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            await asyncio.sleep(0)  # the event loop closes it in its next turn

    async def _open(self) -> _Connection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._connected)
        # Shielded, since other callers may wait for the same connection.
        return await asyncio.shield(self._connecting)

    def _connected(self, connecting: asyncio.Task[_Connection]) -> None:
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._connection = connecting.result()

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await open_transport(self._address, _Connection)
        except (OSError, builtins.TimeoutError) as exc:
            raise ConnectionError(f"Redis cannot be reached: {type(exc).__name__}") from exc
        try:
            await asyncio.gather(
                *(connection.request(*_encoded(words)) for words in self._address.greeting())
            )
        except RedisError:
            connection.close()
            raise
        return connection


def _encoded(words: tuple[str | int, ...]) -> list[bytes]:
    return [str(word).encode() for word in words]


def _command(words: tuple[bytes, ...]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


blob_reader = PerLoop(lambda: BlobReader(settings.REDIS_URL), close=BlobReader.close)


async def close_blob_reader() -> None:
    """Close the reader of the running event loop, at the end of the loop."""
    reader = blob_reader.pop()
    if reader is not None:
        await reader.close()
