"""Uvicorn with our drain in front of its own.

Little is left to guard: it stops reading from a socket whose application is behind, and an application that
sends to a slow reader waits.
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

HELD_BYTES = 65536


class DrainedServer(uvicorn.Server):
    def __init__(self, configuration: uvicorn.Config, drain_seconds: float) -> None:
        super().__init__(configuration)
        self.drain_seconds = drain_seconds
        self.ending: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._begin_to_end, loop)
        yield

    def _begin_to_end(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.ending is None:
            self.ending = loop.create_task(self._end())
        else:
            self.force_exit = self.should_exit = True  # asked twice

    async def _end(self) -> None:
        await drain(self, self.drain_seconds)
        self.should_exit = self.force_exit = True

    def stop_accepting(self) -> None:
        for server in self.servers:
            server.close()

    def close_sockets(self) -> None:
        # Its own way out: sockets get 1012, idle connections end, busy ones end after their response.
        for connection in list(self.server_state.connections):
            connection.shutdown()

    def is_idle(self) -> bool:
        return not self.server_state.connections and not self.server_state.tasks


class GuardedHttp(HttpToolsProtocol):
    """Bounds what comes before a body and after it: the parser would keep whatever is sent.

    What comes after it is dropped. It would become headers, past whoever has looked at those. And nobody
    holds a connection with a request that does not come to its end.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._kept_bytes = 0  # at most; since something was handed on
        self._is_in_body = False
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_more()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._kept_bytes += len(data)
        super().data_received(data)
        if self._kept_bytes <= guards.HEAD_BYTES or self.transport.is_closing():
            return
        if self._is_in_body:  # an answer may be on its way
            self.transport.abort()
        else:
            self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        self._wait_for_more()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_body, self._kept_bytes = True, 0
        self._wait_for_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._kept_bytes = 0
        self._wait_for_more()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_body, self._kept_bytes = False, 0
        self._wait_no_longer()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._wait_no_longer()
        super().handle_websocket_upgrade()

    def _wait_for_more(self) -> None:
        self._wait_no_longer()
        self._patience = self.loop.call_later(guards.HTTP_SECONDS, self._give_up)

    def _wait_no_longer(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        if self.flow.read_paused:  # it is the application that does not read
            self._wait_for_more()
        else:
            self.transport.close()


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """Bounds the wait for a closing handshake; what is sent in one turn of the loop is one write.

    A system call for each frame costs more than all else that is done for it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.close_timeout = 2.0
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0

    async def send(self, message: Any) -> None:
        text = message.get("text") if message["type"] == "websocket.send" else None
        if text is None or self.conn.state is not State.OPEN or self.close_sent:
            self._write_out()
            await super().send(message)
            return
        if not self.writable.is_set():
            await self.writable.wait()
        if self.disconnected:
            raise ClientDisconnected
        self._hold(text_frame(text.encode()))

    def shutdown(self) -> None:
        self._write_out()
        super().shutdown()

    def _hold(self, frame: bytes) -> None:
        if not self._unsent:
            self.loop.call_soon(self._write_out)
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        if self._unsent_bytes > HELD_BYTES:
            self._write_out()

    def _write_out(self) -> None:
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        # Nothing may follow a closing frame.
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
        proxy_headers=False,  # as daphne: addresses and schemes that anybody may claim
    )
    DrainedServer(configuration, drain_seconds).run(sockets=[listening])
