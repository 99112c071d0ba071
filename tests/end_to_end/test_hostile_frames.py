"""A real web process under frames that nobody should send: it answers them, does not grow, and goes on."""

import os
import socket
from itertools import cycle, islice
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from tests.end_to_end.raw_socket import RawSocket
from tests.stack import Stack
from tests.waiting import PATIENCE, wait_until
from tests.yapit.sockets import hostile_frames
from yapit import protocol

pytestmark = pytest.mark.slow

COUNT = 10_000
AT_ONCE = 50  # sent before their answers are read
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
    """Without workers: what is asked for stays queued."""
    stack.start_web(request.param)
    yield stack
    stack.stop("web")


def memory(web):
    return int(Path(f"/proc/{web.processes['web'].pid}/statm").read_text().split()[1]) * PAGE


def is_served(web, listener):
    document = web.make_document("One.")
    listener.ask(document["id"], [0])
    return listener.frame().get("status") == "queued"


def sent(text, first_bits=0):
    """A text frame as it is on the wire."""
    first, *rest = Frame(Opcode.TEXT, text).serialize(mask=True)
    return bytes([first | first_bits, *rest])


def answers_of(listener, frames):
    """Sent some at a time, as one who reads does."""
    frames = iter(frames)
    while some := list(islice(frames, AT_ONCE)):
        for text, _ in some:
            listener.socket.send(text)
        for _, code in some:
            yield listener.frame(), code


def test_10_000_bad_frames_are_answered_in_little_memory_and_a_good_one_is_served(web):
    short = [(frame, code) for frame, code in hostile_frames.FRAMES if len(frame) < 1000]
    with RawSocket(web) as listener:
        list(answers_of(listener, islice(cycle(short), 1000)))
        before = memory(web)

        for answer, code in answers_of(listener, islice(cycle(short), COUNT)):
            assert (answer["type"], answer["code"]) == ("error", code)

        assert memory(web) - before < GROWTH
        assert is_served(web, listener)


def test_long_bad_frames_are_answered_in_little_memory(web):
    long = [(frame, code) for frame, code in hostile_frames.FRAMES if len(frame) >= 1000]
    with RawSocket(web) as listener:
        list(answers_of(listener, islice(cycle(long), 100)))
        before = memory(web)

        for answer, code in answers_of(listener, islice(cycle(long), 1000)):
            assert (answer["type"], answer["code"]) == ("error", code)

        assert memory(web) - before < GROWTH
        assert is_served(web, listener)


def test_beyond_the_rate_each_is_told_to_wait_and_afterwards_a_good_one_is_served(web):
    web.stop("web")
    web.start("web", MESSAGES_PER_SECOND="5", MESSAGES_BURST="20")
    wait_until(web.is_healthy, PATIENCE)
    with RawSocket(web) as listener:
        bad = islice(cycle([('{"type": "dance"}', "")]), 1000)
        answers = [answer for answer, _ in answers_of(listener, bad)]

        assert {answer["code"] for answer in answers} == {"unknown_type", "rate_limited"}
        assert all(answer["retry_after"] > 0 for answer in answers if answer["code"] == "rate_limited")
        wait_until(lambda: is_served(web, listener), PATIENCE)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (sent(b"\xff"), 1007),
        (sent(b"x" * (protocol.MAX_FRAME_BYTES + 1)), 1009),
        (sent(b"\xaaV*I-)-V\xb2R*J-.)\x01\x00", first_bits=COMPRESSED), 1002),
    ],
    ids=["no text", "too long", "compressed"],
)
def test_what_breaks_the_rules_of_websockets_closes_the_connection_and_nobody_elses(web, frame, code):
    with RawSocket(web) as other, connect(web.socket_url, origin=web.url, compression="deflate") as client:
        assert client.protocol.extensions == []
        client.socket.sendall(frame)

        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE)

        assert closed.value.rcvd.code == code
        assert is_served(web, other)


def test_who_sends_and_never_reads_does_not_fill_the_memory(web):
    """His answers are dropped with his connection; the text of each is small."""
    with RawSocket(web) as other, connect(web.socket_url, origin=web.url, compression=None) as client:
        before = memory(web)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, b"\x01" + b"\0" * 15)
        frame = sent(hostile_frames.MALFORMED["a very long priority"].encode())
        try:
            for _ in range(2000):
                client.socket.sendall(frame)
        except OSError:  # closed, or nothing is taken any more
            pass

        assert memory(web) - before < GROWTH
        assert is_served(web, other)
