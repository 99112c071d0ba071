"""Raw WebSocket frames for `benchmarks.closed_loop`, and a synchronous listener. Messages are not parsed."""

import base64
import contextlib
import json
import secrets
import socket
import time
from collections.abc import Iterator, Sequence

from benchmarks.closed_loop import CHUNK, LoadResult, ResponseLength, address_of, drive
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
    """A client's text frame, masked with zeros."""
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


def statuses(count: int, status: bytes = b"cached") -> ResponseLength:
    """The response ends with the frame in which `count` blocks have that status, batched or not."""
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
    """The end of the server's frame that begins at `at`; None while it is incomplete."""
    if len(head) < at + 4:
        return None
    size, begin = head[at + 1], at + 2
    if size == 126:
        size, begin = int.from_bytes(head[begin : begin + 2]), begin + 2
    elif size == 127:
        size, begin = int.from_bytes(head[begin : begin + 8]), begin + 8
    return begin + size if len(head) >= begin + size else None


def request_repeatedly(
    url: str,
    listeners: Sequence[Listener],
    indices: Sequence[int],
    *,
    seconds: float,
    is_batched: bool | None = False,
) -> LoadResult:
    """Each listener requests the same cached blocks again as soon as they are answered.

    `is_batched` None: the server is a stub without options.
    """
    greetings = [] if is_batched is None else [greeting(is_batched=is_batched)]
    return drive(
        address_of(url),
        [synthesize(listener, indices) for listener in listeners],
        statuses(len(indices)),
        seconds=seconds,
        greetings=[(handshake(listener.token), *greetings) for listener in listeners],
    )


def greeting(*, is_batched: bool) -> bytes:
    """Options, and an invalid frame, whose answer shows that the connection is served."""
    return frame({"type": "options", "batched": is_batched}) + frame({"type": "hello?"})


class RawClient:
    """One listener on a blocking socket."""

    def __init__(self, url: str, listener: Listener) -> None:
        self.listener = listener
        self._socket = socket.create_connection(address_of(url), timeout=30)
        for first in (handshake(listener.token), greeting(is_batched=False)):
            self._socket.sendall(first)
            self._socket.recv(CHUNK)

    def request(self, indices: Sequence[int], *, status: bytes = b"cached") -> float:
        """Request blocks and return the seconds until all have that status."""
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

    def read_until(self, expected: bytes) -> None:
        head = b""
        while expected not in head:
            head = head[-len(expected) :] + self._receive()

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        """Receive bytes and answer pings, without which the server closes the connection."""
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
def connected_client(url: str, listener: Listener) -> Iterator[RawClient]:
    with contextlib.closing(RawClient(url, listener)) as client:
        yield client
