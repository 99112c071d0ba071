"""Several commands to Redis in one write, over a connection that its thread may keep.

What redis-py does around a command (borrow a connection, see whether it still answers, count) takes three
times as long as a small command itself.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from redis import Redis
from redis import exceptions as redis_errors

Command = tuple[str | bytes | int | float, ...]


class Pipeline:
    """One thread's. After a lost connection all is sent again, as often as the client would."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    def to(cls, client: Redis) -> "Pipeline":
        """A connection beside those of the client's pool, made when first needed. The caller closes it."""
        return cls(client.connection_pool.make_connection())

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """The answers in order; an error that the server answers to one command is its answer."""
        connection = self._connection
        answers: list[Any] = connection.retry.call_with_retry(
            lambda: self._exchange(commands), lambda _: connection.disconnect()
        )
        return answers

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        parts = [part for command in commands for part in connection.pack_command(*command)]
        connection.send_packed_command(parts)
        try:
            return [self._answer() for _ in commands]
        except BaseException:
            connection.disconnect()  # or answers that nobody reads are taken for those to what comes next
            raise

    def _answer(self) -> Any:
        try:
            return self._connection.read_response()
        except redis_errors.ResponseError as error:
            return error

    def close(self) -> None:
        self._connection.disconnect()


@contextlib.contextmanager
def pipeline_of(client: Redis | Pipeline) -> Iterator[Pipeline]:
    """A wire as it is; of a client one of its connections, as long as it lasts."""
    if isinstance(client, Pipeline):
        yield client
        return
    if client.connection:
        yield Pipeline(client.connection)
        return
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        yield Pipeline(connection)
    finally:
        pool.release(connection)
