"""A pipelined connection to Redis that all tasks of an event loop share, for small and frequent commands.

Commands of one turn of the loop leave in one write, and their replies arrive in order, mostly in one read. A
pool gives each task a connection, a lock and several timers: many times the work of a small script. Large
values would delay the small ones behind them, and blocking commands all others: they use other clients.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import hiredis
from redis import exceptions as redis_errors

from config.redis.address import RedisAddress, parse
from config.redis.transport import open_transport

CONNECT_SECONDS = 0.5
REPLY_SECONDS = 1.0
READ_SECONDS = 0.05
RETRY_SECONDS = 0.02  # before a command is repeated

Command = Sequence[str | bytes | int | float]
_ERRORS: dict[str, type[redis_errors.RedisError]] = {
    "NOSCRIPT": redis_errors.NoScriptError,
    "OOM": redis_errors.OutOfMemoryError,
    "LOADING": redis_errors.BusyLoadingError,
    "NOAUTH": redis_errors.AuthenticationError,
    "WRONGPASS": redis_errors.AuthenticationError,
}


def _error(text: str) -> redis_errors.RedisError:
    return _ERRORS.get(text.partition(" ")[0], redis_errors.ResponseError)(text)


class Connection(asyncio.Protocol):
    """Replies come in the order of the commands. Others, of a subscription, go to `on_push`."""

    def __init__(self, on_push: Callable[[Any], None] | None = None) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_push = on_push
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=_error)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._has_received = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def request(self, command: Command) -> "asyncio.Future[Any]":
        """The reply, which may be an error. Raises ConnectionError when the connection is lost."""
        if self.lost.done():
            raise redis_errors.ConnectionError("The connection to Redis is lost.")
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(reply)
        self.send(command)
        if self._timer is None:
            self._has_received = True
            self._timer = self._loop.call_later(REPLY_SECONDS, self._check_silence)
        return reply

    def send(self, command: Command) -> None:
        """Queue a command whose reply goes to `on_push`. Written with all others of this turn of the loop."""
        if not self._unsent:
            self._loop.call_soon(self._write)
        self._unsent.append(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]  # an odd stub

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._has_received = True
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if self._waiting:
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
            elif self._on_push is not None:
                self._on_push(reply)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.lost.done():
            self.lost.set_result(None)
        for future in self._waiting:
            if not future.done():
                future.set_exception(redis_errors.ConnectionError("The connection to Redis is lost."))
        self._waiting.clear()

    def _write(self) -> None:
        unsent, self._unsent = self._unsent, []
        if not self.lost.done():
            self._transport.write(b"".join(unsent))

    def _check_silence(self) -> None:
        """Close the connection when a reply is due and nothing was received for a whole period."""
        self._timer = None
        if not self._waiting:
            return
        if not self._has_received:
            # After a long block the loop runs timers before it reads the data that arrived meanwhile.
            self._timer = self._loop.call_later(READ_SECONDS, self._close_if_silent)
            return
        self._has_received = False
        self._timer = self._loop.call_later(REPLY_SECONDS, self._check_silence)

    def _close_if_silent(self) -> None:
        if self._has_received:
            self._check_silence()
        else:
            self.close()


async def connect(url: str, on_push: Callable[[Any], None] | None = None) -> Connection:
    """A connection that is logged in and has selected its database. Raises a RedisError."""
    address = parse(url)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await open_transport(address, lambda: Connection(on_push))
            await _greet(connection, address)
    except TimeoutError:
        raise redis_errors.TimeoutError("Redis does not answer.") from None
    except OSError as error:
        raise redis_errors.ConnectionError(f"Redis cannot be reached: {type(error).__name__}.") from error
    return connection


async def _greet(connection: Connection, address: RedisAddress) -> None:
    try:
        for reply in await asyncio.gather(*(connection.request(command) for command in address.greeting())):
            if isinstance(reply, Exception):
                raise reply
    except BaseException:
        connection.close()
        raise


class MultiplexedConnection:
    """Opens its connection on first use, and again when it is lost.

    A command whose connection is lost before the reply is sent once more: all our commands are repeatable.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    async def evalsha(self, sha: str, keys: int, *args: str | bytes | int | float) -> Any:
        return await self.execute("EVALSHA", sha, keys, *args)

    async def eval(self, text: str, keys: int, *args: str | bytes | int | float) -> Any:
        return await self.execute("EVAL", text, keys, *args)

    async def xadd(self, stream: str, fields: Mapping[str, str | bytes | int | float]) -> Any:
        """For streams whose entries may come twice."""
        return await self.execute("XADD", stream, "*", *chain.from_iterable(fields.items()))

    async def execute(self, *command: str | bytes | int | float) -> Any:
        """The reply. Raises a RedisError, also for an error reply."""
        try:
            reply = await (await self._connected()).request(command)
        except redis_errors.ConnectionError:
            await asyncio.sleep(RETRY_SECONDS)
            reply = await (await self._connected()).request(command)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            await self._connection.lost

    async def _connected(self) -> Connection:
        connection = self._connection
        if connection is not None and not connection.lost.done():
            return connection
        async with self._connecting:
            if self._connection is None or self._connection.lost.done():
                self._connection = await connect(self._url)
            return self._connection
