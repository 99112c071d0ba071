"""Uvicorn, with a drain before its own shutdown, and limits on each request.

It needs fewer limits than daphne: it stops reading from a WebSocket whose application falls behind, and an
application that sends to a slow client waits.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from config.serving import guards
from config.serving.drain import drain
from config.serving.frames import text_frame

MAX_BUFFERED_BYTES = 65536


class DrainedServer(uvicorn.Server):
    def __init__(self, configuration: uvicorn.Config, drain_seconds: float) -> None:
        super().__init__(configuration)
        self.drain_seconds = drain_seconds
        self.shutdown_task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._begin_shutdown, loop)
        yield

    def _begin_shutdown(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.shutdown_task is None:
            self.shutdown_task = loop.create_task(self._shut_down())
        else:
            self.force_exit = self.should_exit = True  # a second signal

    async def _shut_down(self) -> None:
        await drain(self, self.drain_seconds)
        self.should_exit = self.force_exit = True

    def stop_accepting(self) -> None:
        for server in self.servers:
            server.close()

    def close_sockets(self) -> None:
        # Closes WebSockets with 1012, idle connections at once, and busy ones after their response.
        for connection in list(self.server_state.connections):
            connection.shutdown()

    def is_idle(self) -> bool:
        return not self.server_state.connections and not self.server_state.tasks


class GuardedHttp(HttpToolsProtocol):
    """Limits the request head and the time of a request, and drops trailers.

    The parser would buffer a head of any size, and add trailers to the headers, after these were checked.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._buffered_bytes = 0  # at most; since the last part was passed on
        self._is_in_body = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._buffered_bytes += len(data)
        super().data_received(data)
        if self._buffered_bytes <= guards.HEAD_BYTES or self.transport.is_closing():
            return
        if self._is_in_body:  # a response may have begun
            self.transport.abort()
        else:
            self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        self._start_timer()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_body, self._buffered_bytes = True, 0
        self._start_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._buffered_bytes = 0
        self._start_timer()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_body, self._buffered_bytes = False, 0
        self._cancel_timer()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._cancel_timer()
        super().handle_websocket_upgrade()

    def _start_timer(self) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(guards.HTTP_SECONDS, self._time_out)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        if self.flow.read_paused:  # the application is slow, not the client
            self._start_timer()
        else:
            self.transport.close()


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """Limits the closing handshake, and writes all frames of one turn of the event loop at once.

    A system call for each frame would cost more than the rest of its processing.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.close_timeout = 2.0
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0

    async def send(self, message: Any) -> None:
        text = message.get("text") if message["type"] == "websocket.send" else None
        if text is None or self.conn.state is not State.OPEN or self.close_sent:
            self._flush()
            await super().send(message)
            return
        if not self.writable.is_set():
            await self.writable.wait()
        if self.disconnected:
            raise ClientDisconnected
        self._buffer_frame(text_frame(text.encode()))

    def shutdown(self) -> None:
        self._flush()
        super().shutdown()

    def _buffer_frame(self, frame: bytes) -> None:
        if not self._unsent:
            self.loop.call_soon(self._flush)
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        if self._unsent_bytes > MAX_BUFFERED_BYTES:
            self._flush()

    def _flush(self) -> None:
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        # No frame may follow a close frame.
        if unsent and self.conn.state is State.OPEN and not self.transport.is_closing():
            self.transport.write(b"".join(unsent))


def run(application: Callable[..., Any], listening: socket.socket, drain_seconds: float) -> None:
    configuration = uvicorn.Config(
        application,
        http=GuardedHttp,
        loop="uvloop",
        ws=GuardedWebSocket,
        ws_max_size=guards.MESSAGE_BYTES,
        ws_ping_interval=guards.PING_SECONDS,
        ws_ping_timeout=guards.PONG_SECONDS,
        ws_per_message_deflate=False,
        timeout_keep_alive=guards.HTTP_SECONDS,
        timeout_graceful_shutdown=1,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # like daphne: clients could claim any address and scheme
    )
    DrainedServer(configuration, drain_seconds).run(sockets=[listening])
