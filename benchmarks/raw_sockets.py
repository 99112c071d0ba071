"""WebSockets written and read as bytes, for what `benchmarks.closed_loop` measures. Nothing is parsed."""

import base64
import contextlib
import json
import secrets
import socket
import time
from collections.abc import Iterator, Sequence

from benchmarks.closed_loop import CHUNK, Driven, LengthOf, address_of, drive
from yapit.load import Listener

PING, PONG = 0x89, 0x8A


def handshake(token: str) -> bytes:
    lines = (
        "GET /v1/ws/tts HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}",
        "Sec-WebSocket-Protocol: yapit.v1",
        f"Authorization: Bearer {token}",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


def frame(message: dict[str, object]) -> bytes:
    """As a client sends it: masked, though by nothing but zeros."""
    payload = json.dumps(message).encode()
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    return b"\x81" + length + bytes(4) + payload


def synthesize(listener: Listener, indices: Sequence[int]) -> bytes:
    return frame(
        {
            "type": "synthesize",
            "document_id": listener.document_id,
            "block_indices": list(indices),
            "model": listener.model,
            "voice": listener.voice,
        }
    )


def statuses(count: int, status: bytes = b"cached") -> LengthOf:
    """Frames until so many blocks have it, one in each frame or many in one."""
    expected = b'"status":"' + status + b'"'

    def length_of(head: bytes) -> int | None:
        if b'"status":"error"' in head or b'"type":"error"' in head:
            raise ConnectionError(f"refused: {head[:300]!r}")
        if head.count(expected) < count:
            return None
        at = 0
        while head.count(expected, 0, at) < count:
            end = frame_end(head, at)
            if end is None:
                return None
            at = end
        return at

    return length_of


def frame_end(head: bytes, at: int) -> int | None:
    """Where the server's frame that begins there ends; None: it is not all here."""
    if len(head) < at + 4:
        return None
    size, begin = head[at + 1], at + 2
    if size == 126:
        size, begin = int.from_bytes(head[begin : begin + 2]), begin + 2
    elif size == 127:
        size, begin = int.from_bytes(head[begin : begin + 8]), begin + 8
    return begin + size if len(head) >= begin + size else None


def ask_again_and_again(
    url: str,
    listeners: Sequence[Listener],
    indices: Sequence[int],
    *,
    seconds: float,
    is_batched: bool | None = False,
) -> Driven:
    """Each on a connection of its own asks for the same blocks as soon as it has them. All are there.

    `is_batched` None: the server is a stub that knows no options.
    """
    hello = [] if is_batched is None else [greeting(is_batched=is_batched)]
    return drive(
        address_of(url),
        [synthesize(listener, indices) for listener in listeners],
        statuses(len(indices)),
        seconds=seconds,
        greetings=[(handshake(listener.token), *hello) for listener in listeners],
    )


def greeting(*, is_batched: bool) -> bytes:
    """Ends with a frame that gets an answer: then the connection is served for sure."""
    return frame({"type": "options", "batched": is_batched}) + frame({"type": "hello?"})


class Asker:
    """One listener that waits for its answers."""

    def __init__(self, url: str, listener: Listener) -> None:
        self.listener = listener
        self._socket = socket.create_connection(address_of(url), timeout=30)
        for first in (handshake(listener.token), greeting(is_batched=False)):
            self._socket.sendall(first)
            self._socket.recv(CHUNK)

    def ask(self, indices: Sequence[int], *, status: bytes = b"cached") -> float:
        """Seconds until all of them have that status."""
        begun = time.perf_counter()
        self.write(synthesize(self.listener, indices))
        self.wait_for(indices, status=status)
        return time.perf_counter() - begun

    def write(self, frame: bytes) -> None:
        self._socket.sendall(frame)

    def wait_for(self, indices: Sequence[int], *, status: bytes = b"cached") -> None:
        length_of = statuses(len(indices), status)
        head = b""
        while length_of(head) is None:
            head += self._receive()

    def hear(self, expected: bytes) -> None:
        """Read until that comes."""
        head = b""
        while expected not in head:
            head = head[-len(expected) :] + self._receive()

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        """Pings are answered; who waits for long is given up otherwise."""
        received = self._socket.recv(CHUNK)
        if not received:
            raise ConnectionError("the server closed the connection")
        at = 0
        while (end := frame_end(received, at)) is not None:
            if received[at] == PING:
                payload = received[at + 2 : end]
                self._socket.sendall(bytes((PONG, 0x80 | len(payload))) + bytes(4) + payload)
            at = end
        return received


@contextlib.contextmanager
def asking(url: str, listener: Listener) -> Iterator[Asker]:
    with contextlib.closing(Asker(url, listener)) as asker:
        yield asker
