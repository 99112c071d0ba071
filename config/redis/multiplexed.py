"""One connection to Redis that all tasks of an event loop share, for what is asked many times a second.

What tasks ask in the same moment leaves in one write, and its answers come in one read, in order. A pool
gives each of them a connection, a lock and a few timers of its own: many times the work of a small script.
Not for large values, which would hold up everybody's small ones, nor for commands that wait.
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
ANSWER_SECONDS = 1.0
READ_SECONDS = 0.05
PAUSE_SECONDS = 0.02  # before the one repetition

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
    """Answers come in the order of the questions. What comes unasked is heard."""

    def __init__(self, hear: Callable[[Any], None] | None = None) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=_error)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._answered = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, command: Command) -> "asyncio.Future[Any]":
        """Its answer; an error is an answer, too. Raises ConnectionError when the connection is lost."""
        if self.lost.done():
            raise redis_errors.ConnectionError("The connection to Redis is lost.")
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(answer)
        self.tell(command)
        if self._watch is None:
            self._answered = True
            self._watch = self._loop.call_later(ANSWER_SECONDS, self._look)
        return answer

    def tell(self, command: Command) -> None:
        """Sent with all else that is sent in this turn of the loop."""
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]  # an odd stub

    def close(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._answered = True
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            if self._waiting:
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(answer)
            elif self._hear is not None:
                self._hear(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if not self.lost.done():
            self.lost.set_result(None)
        for future in self._waiting:
            if not future.done():
                future.set_exception(redis_errors.ConnectionError("The connection to Redis is lost."))
        self._waiting.clear()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if not self.lost.done():
            self._transport.write(b"".join(unsent))

    def _look(self) -> None:
        """Nothing came for a whole period, and something is due: the other end is gone or asleep."""
        self._watch = None
        if not self._waiting:
            return
        if not self._answered:
            # A loop that was busy all the while looks here first, and reads only then what came meanwhile.
            self._watch = self._loop.call_later(READ_SECONDS, self._give_up)
            return
        self._answered = False
        self._watch = self._loop.call_later(ANSWER_SECONDS, self._look)

    def _give_up(self) -> None:
        if self._answered:
            self._look()
        else:
            self.close()


async def connect(url: str, hear: Callable[[Any], None] | None = None) -> Connection:
    """Logged in, on the database that the address names. Raises a RedisError."""
    address = parse(url)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await open_transport(address, lambda: Connection(hear))
            await _greet(connection, address)
    except TimeoutError:
        raise redis_errors.TimeoutError("Redis does not answer.") from None
    except OSError as error:
        raise redis_errors.ConnectionError(f"Redis cannot be reached: {type(error).__name__}.") from error
    return connection


async def _greet(connection: Connection, address: RedisAddress) -> None:
    try:
        for answer in await asyncio.gather(*(connection.ask(command) for command in address.greeting())):
            if isinstance(answer, Exception):
                raise answer
    except BaseException:
        connection.close()
        raise


class MultiplexedConnection:
    """The one connection of an event loop, made when it is needed and again when it is lost.

    A command whose connection is lost before its answer came is sent once more: all of ours may be repeated.
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
        """Of entries that may come twice."""
        return await self.execute("XADD", stream, "*", *chain.from_iterable(fields.items()))

    async def execute(self, *command: str | bytes | int | float) -> Any:
        """The answer; an error is raised."""
        try:
            answer = await (await self._connected()).ask(command)
        except redis_errors.ConnectionError:
            await asyncio.sleep(PAUSE_SECONDS)
            answer = await (await self._connected()).ask(command)
        if isinstance(answer, Exception):
            raise answer
        return answer

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
