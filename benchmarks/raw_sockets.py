"""WebSockets for `benchmarks.closed_loop`: a frame out, so many statuses back. Nothing is parsed."""

import base64
import json
import secrets
from collections.abc import Sequence

from benchmarks.closed_loop import Driven, LengthOf, drive
from benchmarks.listeners import Listener, address_of

STATUS = b'"block_idx":'


def handshake(token: str) -> bytes:
    lines = (
        "GET /v1/ws/tts HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}",
        f"Authorization: Bearer {token}",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


def frame(message: dict[str, object]) -> bytes:
    """As a client sends it: masked, though by nothing but zeros."""
    payload = json.dumps(message).encode()
    length = bytes([0x80 | len(payload)])
    if len(payload) > 125:
        length = bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
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
    """Frames until so many blocks have that status, one in each frame or all in one."""
    expected = b'"status":"' + status + b'"'

    def length_of(head: bytes) -> int | None:
        at = 0
        while head.count(STATUS, 0, at) < count:
            end = frame_end(head, at)
            if end is None:
                return None
            at = end
        if head.count(expected, 0, at) != count:
            raise ConnectionError(f"not {count} times {status!r}: {head[:300]!r}")
        return at

    return length_of


def frame_end(head: bytes, at: int) -> int | None:
    """Where the server's frame that begins there ends; None: it is not all here."""
    if len(head) < at + 4:
        return None
    size, begin = head[at + 1], at + 2
    if size == 126:
        size, begin = int.from_bytes(head[begin : begin + 2], "big"), begin + 2
    elif size == 127:
        size, begin = int.from_bytes(head[begin : begin + 8], "big"), begin + 8
    return begin + size if len(head) >= begin + size else None


def ask_again_and_again(
    url: str, listeners: Sequence[Listener], indices: Sequence[int], *, seconds: float, batched: bool = False
) -> Driven:
    """Each on a connection of its own asks for the same blocks as soon as it has them. All are there."""
    # The second greeting is a frame that gets an answer: then the connection is served for sure.
    hello = frame({"type": "options", "batched": batched}) + frame({"type": "hello?"})
    return drive(
        address_of(url),
        [synthesize(listener, indices) for listener in listeners],
        statuses(len(indices)),
        seconds=seconds,
        greetings=[(handshake(listener.token), hello) for listener in listeners],
    )
