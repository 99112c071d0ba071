"""Invalid frames to a real web process: each is answered, memory does not grow, other sockets are served."""

import os
import socket
from itertools import cycle, islice
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from tests.end_to_end.frame_socket import FrameSocket
from tests.stack import Stack
from tests.waiting import PATIENCE, wait_until
from tests.yapit.sockets import hostile_frames
from yapit import protocol

pytestmark = pytest.mark.slow

COUNT = 10_000
AT_ONCE = 50  # frames sent before their answers are read
GROWTH = 16 * 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")
COMPRESSED = 0x40


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    stack = Stack.launch(tmp_path_factory.mktemp("stack"))
    yield stack
    stack.close()


@pytest.fixture(params=["daphne", "uvicorn"])
def web(stack, request):
    """A web process without workers, so that requested blocks stay queued."""
    stack.start_web(request.param)
    yield stack
    stack.stop("web")


def memory(web):
    return int(Path(f"/proc/{web.processes['web'].pid}/statm").read_text().split()[1]) * PAGE


def is_served(web, listener):
    document = web.make_document("One.")
    listener.synthesize(document["id"], [0])
    return listener.frame().get("status") == "queued"


def wire_frame(text, first_bits=0):
    """The bytes of a client's text frame."""
    first, *rest = Frame(Opcode.TEXT, text).serialize(mask=True)
    return bytes([first | first_bits, *rest])


def answers_of(listener, frames):
    """Send frames in batches and yield each answer with the expected code."""
    frames = iter(frames)
    while batch := list(islice(frames, AT_ONCE)):
        for text, _ in batch:
            listener.socket.send(text)
        for _, code in batch:
            yield listener.frame(), code


def test_10_000_invalid_frames_are_answered_in_constant_memory(web):
    short = [(frame, code) for frame, code in hostile_frames.FRAMES if len(frame) < 1000]
    with FrameSocket(web) as listener:
        list(answers_of(listener, islice(cycle(short), 1000)))
        before = memory(web)

        for answer, code in answers_of(listener, islice(cycle(short), COUNT)):
            assert (answer["type"], answer["code"]) == ("error", code)

        assert memory(web) - before < GROWTH
        assert is_served(web, listener)


def test_long_invalid_frames_are_answered_in_constant_memory(web):
    long = [(frame, code) for frame, code in hostile_frames.FRAMES if len(frame) >= 1000]
    with FrameSocket(web) as listener:
        list(answers_of(listener, islice(cycle(long), 100)))
        before = memory(web)

        for answer, code in answers_of(listener, islice(cycle(long), 1000)):
            assert (answer["type"], answer["code"]) == ("error", code)

        assert memory(web) - before < GROWTH
        assert is_served(web, listener)


def test_frames_above_the_rate_limit_are_refused_with_retry_after(web):
    web.stop("web")
    web.start("web", MESSAGES_PER_SECOND="5", MESSAGES_BURST="20")
    wait_until(web.is_healthy, PATIENCE)
    with FrameSocket(web) as listener:
        invalid = islice(cycle([('{"type": "dance"}', "")]), 1000)
        answers = [answer for answer, _ in answers_of(listener, invalid)]

        assert {answer["code"] for answer in answers} == {"unknown_type", "rate_limited"}
        assert all(answer["retry_after"] > 0 for answer in answers if answer["code"] == "rate_limited")
        wait_until(lambda: is_served(web, listener), PATIENCE)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (wire_frame(b"\xff"), 1007),
        (wire_frame(b"x" * (protocol.MAX_FRAME_BYTES + 1)), 1009),
        (wire_frame(b"\xaaV*I-)-V\xb2R*J-.)\x01\x00", first_bits=COMPRESSED), 1002),
    ],
    ids=["no text", "too long", "compressed"],
)
def test_a_violation_of_the_websocket_protocol_closes_this_connection_only(web, frame, code):
    with FrameSocket(web) as other, connect(web.socket_url, origin=web.url, compression="deflate") as client:
        assert client.protocol.extensions == []
        client.socket.sendall(frame)

        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)

        assert closed.value.rcvd.code == code
        assert is_served(web, other)


def test_a_client_that_never_reads_does_not_fill_the_memory(web):
    """Its answers are small, and dropped with the connection."""
    with FrameSocket(web) as other, connect(web.socket_url, origin=web.url, compression=None) as client:
        before = memory(web)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, b"\x01" + b"\0" * 15)
        frame = wire_frame(hostile_frames.MALFORMED["a very long priority"].encode())
        try:
            for _ in range(2000):
                client.socket.sendall(frame)
        except OSError:  # closed, or the send buffer is full
            pass

        assert memory(web) - before < GROWTH
        assert is_served(web, other)
