"""GETs of large values from Redis, many at once over one connection, each read straight into its own buffer.

What the client library does beside that (a connection for each request, a copy or two, a parser for all that
Redis can say) takes longer than Redis does. Errors are those of the library.
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
ANSWER_SECONDS = 1.0
SCRATCH_BYTES = 16 * 1024
LARGEST_VALUE = 64 * 1024 * 1024
END = b"\r\n"

Value = memoryview | None


class _Connection(asyncio.BufferedProtocol):
    """One connection: commands go out at once, answers come back in their order."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[asyncio.Future[Value], float]] = deque()
        self._unsent: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._unread = b""
        self._value: bytearray | None = None  # the one that is being read, with the line end behind it
        self._filled = 0

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, *words: bytes) -> asyncio.Future[Value]:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("Redis hung up")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Value] = loop.create_future()
        self._waiting.append((answer, time.monotonic()))
        if not self._unsent:  # what else is asked in this turn of the event loop goes out with it
            loop.call_soon(self._send)
        self._unsent.append(_command(words))
        if self._watch is None:
            self._watch = loop.call_later(ANSWER_SECONDS, self._look_at_the_clock)
        return answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._transport is not None:
            self._transport.write(b"".join(unsent))

    # --- What the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError("Redis hung up"))

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

    # --- Answers ---

    def _parse(self) -> None:
        data, at = self._unread, 0
        while self._value is None and (end := data.find(END, at)) >= 0:
            kind, rest = data[at : at + 1], data[at + 1 : end]
            at = end + len(END)
            if kind == b"$" and rest != b"-1":
                at = self._begin_value(int(rest), data, at)
            elif kind == b"-":
                self._answer(ResponseError(rest.decode(errors="replace")))
            else:
                self._answer(None)
        self._unread = data[at:]

    def _begin_value(self, size: int, data: bytes, at: int) -> int:
        if size > LARGEST_VALUE:
            self.close()
            return len(data)
        there = data[at : at + size + len(END)]
        self._value = bytearray(size + len(END))
        self._value[: len(there)] = there
        self._filled = len(there)
        if self._filled == len(self._value):
            self._finish_value()
        return at + len(there)

    def _finish_value(self) -> None:
        value, self._value = self._value, None
        self._answer(memoryview(value)[: -len(END)] if value else None)

    def _answer(self, outcome: Value | Exception) -> None:
        if not self._waiting:
            return
        answer, _ = self._waiting.popleft()
        if answer.done():  # whoever asked has gone
            return
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    def _fail(self, reason: Exception) -> None:
        while self._waiting:
            self._answer(reason)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look_at_the_clock(self) -> None:
        """One timer for all: answers come in order, so the first that waits has waited longest."""
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][1] + ANSWER_SECONDS - time.monotonic()
        if left > 0:
            self._watch = asyncio.get_running_loop().call_later(left, self._look_at_the_clock)
            return
        self._fail(TimeoutError("Redis does not answer"))
        self.close()  # an answer that comes late would be taken for the next one


class BlobReader:
    """The connection of one event loop, made when it is needed and again after a failure."""

    def __init__(self, url: str) -> None:
        self._address = parse(url)
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None

    async def get(self, key: str) -> Value:
        """The value, or None. Raises a RedisError within about two seconds."""
        try:
            return await (await self._open()).ask(b"GET", key.encode())
        except ConnectionError:  # it may have gone long ago, unnoticed
            return await (await self._open()).ask(b"GET", key.encode())

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            await asyncio.sleep(0)  # the event loop ends it in its next turn

    async def _open(self) -> _Connection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._connected)
        # Shielded: whoever gives up is not the only one who waits for it.
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
            await asyncio.gather(*(connection.ask(*_encoded(words)) for words in self._address.greeting()))
        except RedisError:
            connection.close()
            raise
        return connection


def _encoded(words: tuple[str | int, ...]) -> list[bytes]:
    return [str(word).encode() for word in words]


def _command(words: tuple[bytes, ...]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


blob_reader = PerLoop(lambda: BlobReader(settings.REDIS_URL))


async def close_blob_reader() -> None:
    """Close the connection of the running event loop, at its end."""
    reader = blob_reader.pop()
    if reader is not None:
        await reader.close()
