"""A load generator that costs next to nothing: raw bytes out, a known number of bytes back.

One thread, one selector, no parsing beyond the length of an answer: a server under test is slower than this.
`cpu_seconds` says how much of the machine it took for itself all the same.
"""

import contextlib
import re
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import quantiles

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
CHUNK = 1 << 18
HEAD = 2048

# The length of a whole answer, from its beginning; None: more of it is needed to tell.
LengthOf = Callable[[bytes], int | None]


@dataclass(slots=True)
class Driven:
    """Answers that came after the warm-up, and what they took."""

    latencies: list[float] = field(default_factory=list)  # seconds
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def p99_ms(self) -> float:
        return percentile(self.latencies, 99) * 1000


class Connection:
    def __init__(
        self, address: tuple[str, int], request: bytes, length_of: LengthOf, greetings: Sequence[bytes]
    ) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for greeting in greetings:
            self.socket.sendall(greeting)
            self.socket.recv(CHUNK)
        self.socket.setblocking(False)
        self.request = memoryview(request)
        self.length_of = length_of
        self.begin()

    def begin(self) -> None:
        self.unsent = self.request
        self.head = b""
        self.missing: int | None = None
        self.sent_at = time.perf_counter()

    def send(self) -> bool:
        """Whether all of it is out."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            return False
        return not self.unsent

    def receive(self, buffer: bytearray) -> bool:
        """Whether the answer is complete."""
        # A small piece first: what is looked at for the length is copied.
        count = self.socket.recv_into(buffer, HEAD if self.missing is None else 0)
        if not count:
            raise ConnectionError("the server hung up")
        if self.missing is None:
            self.head += buffer[:count]
            length = self.length_of(self.head)
            self.missing = None if length is None else length - len(self.head)
        else:
            self.missing -= count
        return self.missing == 0


def drive(
    address: tuple[str, int],
    requests: Sequence[bytes],
    length_of: LengthOf,
    *,
    seconds: float,
    greeting: bytes = b"",
    greetings: Sequence[Sequence[bytes]] = (),
) -> Driven:
    """One connection for each request, which it repeats as soon as it has its answer, warm-up first.

    Before that each says its `greetings` (or all of them the one), and waits for an answer to each.
    """
    driven = Driven()
    with contextlib.ExitStack() as ending:
        selector = ending.enter_context(selectors.DefaultSelector())
        said = greetings or [[greeting] if greeting else []] * len(requests)
        for request, first in zip(requests, said, strict=True):
            connection = Connection(address, request, length_of, first)
            ending.enter_context(connection.socket)
            _send(selector, connection, is_new=True)
        _turn(selector, Driven(), seconds / 5)
        cpu = time.process_time()
        driven.seconds = _turn(selector, driven, seconds)
        driven.cpu_seconds = time.process_time() - cpu
    return driven


def _turn(selector: selectors.BaseSelector, driven: Driven, seconds: float) -> float:
    buffer = bytearray(CHUNK)
    begun = now = time.perf_counter()
    while now - begun < seconds:
        ready = selector.select(10)
        if not ready:
            raise TimeoutError("no answer for ten seconds")
        for key, events in ready:
            connection: Connection = key.data
            if events & selectors.EVENT_WRITE:
                _send(selector, connection)
            elif connection.receive(buffer):
                driven.latencies.append(time.perf_counter() - connection.sent_at)
                connection.begin()
                _send(selector, connection)
        now = time.perf_counter()
    return now - begun


def _send(selector: selectors.BaseSelector, connection: Connection, *, is_new: bool = False) -> None:
    wanted = selectors.EVENT_READ if connection.send() else selectors.EVENT_WRITE
    if is_new:
        selector.register(connection.socket, wanted, connection)
    elif selector.get_key(connection.socket).events != wanted:
        selector.modify(connection.socket, wanted, connection)


def http_answer(status: int) -> LengthOf:
    """Raises when an answer has another status."""
    begins = b"HTTP/1.1 %d " % status

    def length_of(head: bytes) -> int | None:
        end = head.find(b"\r\n\r\n")
        if end < 0:
            return None
        if not head.startswith(begins):
            raise ConnectionError(f"not {status}: {head[:200]!r}")
        found = LENGTH.search(head, 0, end + 2)
        return end + 4 + (int(found[1]) if found else 0)

    return length_of


def http_get(path: str, *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", "")).encode()


def redis_ok(head: bytes) -> int | None:
    if not b"+OK\r\n".startswith(head):
        raise ConnectionError(f"not OK: {head[:200]!r}")
    return 5


def redis_command(*parts: bytes) -> bytes:
    head = b"*%d\r\n" % len(parts)
    return head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def address_of(url: str) -> tuple[str, int]:
    host, port = url.rpartition("/")[2].split(":")
    return host, int(port)


def percentile(values: Sequence[float], percent: int) -> float:
    """Of at least one value."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
