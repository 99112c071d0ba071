"""Daphne, with a drain at shutdown and limits on each request and WebSocket.

Its queues are unbounded in both directions: without the limits, a flood of messages, an endless body or a
client that stops reading exhausts the memory of the process.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import uvloop
from twisted.internet import asyncioreactor

# Before daphne is imported, which would install a slower reactor.
asyncioreactor.install(uvloop.new_event_loop())  # type: ignore[no-untyped-call]

from daphne.http_protocol import WebRequest  # noqa: E402
from daphne.server import Server, reactor  # noqa: E402
from daphne.ws_protocol import WebSocketProtocol  # noqa: E402

from config.serving import guards  # noqa: E402
from config.serving.drain import drain  # noqa: E402
from config.serving.frames import text_frame  # noqa: E402

TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class GuardedRequest(WebRequest):  # type: ignore[misc]
    """Limits a body while it is received: daphne stores it completely before the application is called."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._bytes_left = guards.BODY_BYTES
        self.channel.setTimeout(guards.HTTP_SECONDS)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  # Twisted's names
        self.channel.setTimeout(guards.HTTP_SECONDS)
        is_refused = self._bytes_left < 0
        self._bytes_left -= len(data)
        if self._bytes_left >= 0:
            super().handleContentChunk(data)
        elif not is_refused:
            self.channel.transport.write(TOO_LARGE)
            self.channel.loseConnection()

    def process(self) -> Any:
        return super().process() if self._bytes_left >= 0 else None


class GuardedWebSocket(WebSocketProtocol):  # type: ignore[misc]
    close_reason: str | None = None

    def handle_reply(self, message: dict[str, Any]) -> None:
        self.close_reason = message.get("reason")  # daphne omits it
        super().handle_reply(message)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803  # autobahn's names
        if self.application_queue.qsize() >= guards.QUEUED_MESSAGES:
            self.serverClose(guards.POLICY_VIOLATION)
            self.muted = True
            self.application_queue.put_nowait(
                {"type": "websocket.disconnect", "code": guards.POLICY_VIOLATION}
            )
            return
        super().onMessage(payload, isBinary)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        # Bypasses autobahn, which formats a log line for all received data.
        self._dataReceived(data)

    def serverSend(self, content: str | bytes, binary: bool = False) -> None:  # noqa: N802
        if isinstance(content, str) and self.state == self.STATE_OPEN and not self.send_queue:
            self.transport.write(text_frame(content.encode()))
        else:
            super().serverSend(content, binary)
        if unsent_bytes(self.transport) > guards.UNSENT_BYTES:
            self.transport.abortConnection()

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802
        # autobahn's sendClose accepts no other standard code than 1000.
        reason = self.close_reason.encode() if self.close_reason else None
        self.sendCloseFrame(code=1000 if code is None else code, reasonUtf8=reason)


def with_guard(protocol: Any) -> Any:
    protocol.requestFactory = GuardedRequest
    # Twisted restarts its time-out with each byte of a request head: slow clients could keep connections.
    protocol._channel.resetTimeout = lambda: None
    return protocol


def unsent_bytes(transport: Any) -> int:
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen  # type: ignore[no-any-return]


class DrainedServer(Server):  # type: ignore[misc]
    """Serves one listening socket."""

    def __init__(
        self, application: Callable[..., Any], listening: socket.socket, drain_seconds: float
    ) -> None:
        super().__init__(
            application,
            endpoints=[f"fd:fileno={listening.detach()}"],  # Twisted closes it
            signal_handlers=False,
            http_timeout=guards.HTTP_SECONDS,
            ping_interval=guards.PING_SECONDS,
            ping_timeout=guards.PONG_SECONDS,
            websocket_max_message_size=guards.MESSAGE_BYTES,
            websocket_max_frame_size=guards.MESSAGE_BYTES,
            server_name="",
            verbosity=0,
            ready_callable=self._prepare,
        )
        self.ports: list[Any] = []
        self.drain_seconds = drain_seconds
        self.shutdown_task: asyncio.Task[None] | None = None

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        self.ports.append(port)

    def _prepare(self) -> None:
        build = self.http_factory.buildProtocol
        self.http_factory.buildProtocol = lambda address: with_guard(build(address))
        self.http_factory.timeOut = guards.HTTP_SECONDS
        self.http_factory.log = lambda request: None  # Twisted would format a log line for each request
        self.ws_factory.protocol = GuardedWebSocket
        # A message that is too long closes the connection with 1009 instead of dropping it.
        self.ws_factory.setProtocolOptions(failByDrop=False, closeHandshakeTimeout=2)
        loop = asyncio.get_event_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, partial(self._begin_shutdown, loop))

    def _begin_shutdown(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.shutdown_task is None:
            self.shutdown_task = loop.create_task(self._shut_down())
        else:
            self.stop()  # a second signal

    async def _shut_down(self) -> None:
        await drain(self, self.drain_seconds)
        self.stop()

    def stop_accepting(self) -> None:
        for port in self.ports:
            port.stopListening()

    def close_sockets(self) -> None:
        for protocol in list(self.connections):
            if isinstance(protocol, WebSocketProtocol):
                if protocol.state == protocol.STATE_OPEN:
                    protocol.serverClose(guards.SERVICE_RESTART)
                elif protocol.state == protocol.STATE_CONNECTING:
                    protocol.serverReject()

    def is_idle(self) -> bool:
        return not any(is_open(protocol, details) for protocol, details in self.connections.items())

    def kill_all_applications(self) -> Any:
        """Like daphne's method, which fails for a connection whose application has ended."""
        for details in self.connections.values():
            details.setdefault("application_instance", finished())
        return super().kill_all_applications()


def is_open(protocol: Any, details: dict[str, Any]) -> bool:
    """Whether a response is being sent, or a WebSocket or its application has not ended."""
    application = details.get("application_instance")
    if application is not None and not application.done():
        return True
    return isinstance(protocol, WebRequest) and "disconnected" not in details and application is not None


def finished() -> "asyncio.Future[None]":
    future = asyncio.get_event_loop().create_future()
    future.set_result(None)
    return future


def run(application: Callable[..., Any], listening: socket.socket, drain_seconds: float) -> None:
    DrainedServer(application, listening, drain_seconds).run()


__all__ = ["reactor", "run"]
