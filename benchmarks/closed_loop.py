"""Closed-loop load generator on raw sockets: one thread, one selector, at little CPU time.

Only the length of a response is parsed, so a server under test is slower than this. `cpu_seconds` is the
generator's own use of the machine.
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

# The length of a response, from its beginning; None while that is not sufficient.
ResponseLength = Callable[[bytes], int | None]


@dataclass(slots=True)
class LoadResult:
    """Latencies and use of time after the warm-up."""

    latencies: list[float] = field(default_factory=list)  # seconds
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def p99_ms(self) -> float:
        return percentile(self.latencies, 99) * 1000


class LoadConnection:
    def __init__(
        self, address: tuple[str, int], request: bytes, length_of: ResponseLength, greetings: Sequence[bytes]
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
        """Send as much as possible. True: the request is complete."""
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            return False
        return not self.unsent

    def receive(self, buffer: bytearray) -> bool:
        """Receive as much as possible. True: the response is complete."""
        # A small piece first: it is copied to parse the length.
        count = self.socket.recv_into(buffer, HEAD if self.missing is None else 0)
        if not count:
            raise ConnectionError("the server closed the connection")
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
    length_of: ResponseLength,
    *,
    seconds: float,
    greeting: bytes = b"",
    greetings: Sequence[Sequence[bytes]] = (),
) -> LoadResult:
    """Repeat each request on its own connection as soon as it is answered, after a warm-up.

    Before that, each connection sends its `greetings` (or the common one), each of which is answered.
    """
    result = LoadResult()
    with contextlib.ExitStack() as ending:
        selector = ending.enter_context(selectors.DefaultSelector())
        all_greetings = greetings or [[greeting] if greeting else []] * len(requests)
        for request, first in zip(requests, all_greetings, strict=True):
            connection = LoadConnection(address, request, length_of, first)
            ending.enter_context(connection.socket)
            _send(selector, connection, is_new=True)
        _run(selector, LoadResult(), seconds / 5)
        cpu = time.process_time()
        result.seconds = _run(selector, result, seconds)
        result.cpu_seconds = time.process_time() - cpu
    return result


def _run(selector: selectors.BaseSelector, result: LoadResult, seconds: float) -> float:
    buffer = bytearray(CHUNK)
    begun = now = time.perf_counter()
    while now - begun < seconds:
        ready = selector.select(10)
        if not ready:
            raise TimeoutError("no answer for ten seconds")
        for key, events in ready:
            connection: LoadConnection = key.data
            if events & selectors.EVENT_WRITE:
                _send(selector, connection)
            elif connection.receive(buffer):
                result.latencies.append(time.perf_counter() - connection.sent_at)
                connection.begin()
                _send(selector, connection)
        now = time.perf_counter()
    return now - begun


def _send(selector: selectors.BaseSelector, connection: LoadConnection, *, is_new: bool = False) -> None:
    events = selectors.EVENT_READ if connection.send() else selectors.EVENT_WRITE
    if is_new:
        selector.register(connection.socket, events, connection)
    elif selector.get_key(connection.socket).events != events:
        selector.modify(connection.socket, events, connection)


def http_response(status: int) -> ResponseLength:
    """Responses with that status. Raises ConnectionError for any other."""
    begins = b"HTTP/1.1 %d " % status

    def length_of(head: bytes) -> int | None:
        end = head.find(b"\r\n\r\n")
        if end < 0:
            return None
        if not head.startswith(begins):
            raise ConnectionError(f"not {status}: {head[:200]!r}")
        match = LENGTH.search(head, 0, end + 2)
        return end + 4 + (int(match[1]) if match else 0)

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
    """A percentile of at least one value."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
