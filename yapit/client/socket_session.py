"""Base class of the sessions of the client: an open WebSocket with tasks that handle its messages."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from yapit.client.errors import ClientError


class SocketSession:
    """An asynchronous context manager that keeps the connection open.

    Its methods raise the ClientError with which the connection ended for good.
    """

    def __init__(self) -> None:
        self._failure: BaseException | None = None
        self._received = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        """Coroutines that run as long as the session is open."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        for coroutine in self._work():
            self._spawn(coroutine)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session; waiting callers get a ClientError. Repeatable."""
        self._fail(ClientError("This client is closed."))
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_for_message(self) -> None:
        if self._failure:
            raise self._failure
        self._received.clear()
        await self._received.wait()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._on_task_done)
        self._tasks.add(task)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._received.set()
