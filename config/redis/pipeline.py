"""Several commands to Redis in one write, over a connection that a thread may keep.

redis-py spends three times as long on borrowing a connection, checking its health and counting as on a small
command itself.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from redis import Redis
from redis import exceptions as redis_errors

Command = tuple[str | bytes | int | float, ...]


class Pipeline:
    """For one thread. Repeats all commands when the connection is lost, as often as the client does."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    def to(cls, client: Redis) -> "Pipeline":
        """On a connection outside of the client's pool, opened on first use. The caller closes it."""
        pool = client.connection_pool  # which would count a connection of its own for as long as it lives
        return cls(pool.connection_class(**pool.connection_kwargs))

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Replies in the order of the commands. An error reply is returned, not raised."""
        connection = self._connection
        replies: list[Any] = connection.retry.call_with_retry(
            lambda: self._exchange(commands), lambda _: connection.disconnect()
        )
        return replies

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        parts = [part for command in commands for part in connection.pack_command(*command)]
        connection.send_packed_command(parts)
        try:
            return [self._reply() for _ in commands]
        except BaseException:
            connection.disconnect()  # unread replies would be taken for those of the next commands
            raise

    def _reply(self) -> Any:
        try:
            return self._connection.read_response()
        except redis_errors.ResponseError as error:
            return error

    def close(self) -> None:
        self._connection.disconnect()


@contextlib.contextmanager
def pipeline_of(client: Redis | Pipeline) -> Iterator[Pipeline]:
    """The pipeline itself, or for a client a pipeline on one of its connections."""
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
