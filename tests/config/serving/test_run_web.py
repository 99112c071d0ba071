"""Web process on both servers, with real sockets and signals."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.core.management.base import CommandError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from config.local.program import free_port
from config.management.commands.run_web import is_loopback, listen
from tests.waiting import PATIENCE, PROCESS_PATIENCE, wait_until

PROJECT = Path(__file__).parents[3]


class Web:
    def __init__(self, server, drain_seconds, **env):
        self.port = free_port()
        command = [sys.executable, "manage.py", "run_web", "--server", server, "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=PROJECT, env=environment(drain_seconds) | env)
        wait_until(self.is_up, PROCESS_PATIENCE)

    def is_up(self):
        assert self.process.poll() is None
        with contextlib.suppress(OSError), self.get("/health") as response:
            return response.status == 200

    @contextlib.contextmanager
    def get(self, path):
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        ) as connection:
            connection.request("GET", path)
            yield connection.getresponse()

    def connect(self):
        return connect(f"ws://127.0.0.1:{self.port}/", compression=None)

    def ask_to_stop(self):
        self.process.send_signal(signal.SIGTERM)


def environment(drain_seconds=5):
    settings = {
        "DJANGO_SETTINGS_MODULE": "tests.config.serving.stand_in_web",
        "DRAIN_SECONDS": str(drain_seconds),
    }
    return os.environ | settings


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request):
    return request.param


@pytest.fixture(scope="module")
def web(server):
    """The web process that most tests of this module share."""
    web = Web(server, drain_seconds=1)
    yield web
    web.process.kill()
    web.process.wait()


@pytest.fixture
def start(server):
    """A function that starts a web process, which ends with the test."""
    with contextlib.ExitStack() as running:

        def begin(drain_seconds=5, **env):
            web = Web(server, drain_seconds, **env)
            running.callback(web.process.wait)
            running.callback(web.process.kill)
            return web

        yield begin


def test_an_endless_request_head_closes_the_connection(web):
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                connection.sendall(b"X-Padding: " + b"x" * 1000 + b"\r\n")
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            assert not connection.recv(100).startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_endless_body_closes_the_connection(web, server, is_announced):
    """Daphne buffers a body until it is complete; uvicorn passes on each part."""
    if server == "uvicorn":
        pytest.skip("It is the application that reads, or does not.")
    piece = b"x" * 2**20
    piece = piece if is_announced else b"%x\r\n%s\r\n" % (len(piece), piece)
    head = b"Content-Length: %d" % 2**36 if is_announced else b"Transfer-Encoding: chunked"
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST /health HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n")

        with pytest.raises(ConnectionError):
            connection.sendall(piece * 200)


CHUNKED = (
    b"POST /headers HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
)


def test_trailers_do_not_become_headers(web):
    """Trailers would bypass checks of the headers, by a proxy or by the application."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE) as connection:
        connection.sendall(CHUNKED + b"Authorization: Bearer x\r\nX-Late: 1\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()

        assert set(answer.read().split()) <= {b"host", b"transfer-encoding"}


@pytest.mark.parametrize("piece", [b"x" * 2**16, b"x: y\r\n" * 2**13], ids=["one", "many"])
def test_endless_trailers_close_the_connection(web, piece):
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE) as connection:
        connection.sendall(CHUNKED + b"X-Late: ")

        with pytest.raises(ConnectionError):
            connection.sendall(piece * 1000)


def test_an_incomplete_request_times_out(start):
    web, waiting = start(HTTP_SECONDS="2"), []
    beginnings = {
        "nothing": b"",
        "part of a head": b"GET /health HT",
        "part of a second head": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HT",
        "part of a body": b"POST /headers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhell",
    }
    with contextlib.ExitStack() as opened:
        for sent in beginnings.values():
            connection = socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE)
            opened.enter_context(connection).sendall(sent)
            waiting.append(connection)

        for what, connection in zip(beginnings, waiting, strict=True):
            assert is_closed(connection), what


@pytest.mark.slow
@pytest.mark.parametrize("begun", [b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: "])
def test_a_head_sent_byte_by_byte_times_out(start, begun):
    """Each byte arrives before the time-out."""
    web = start(HTTP_SECONDS="3")
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE) as connection:
        connection.sendall(begun)
        connection.settimeout(0.2)

        def is_given_up():
            with contextlib.suppress(TimeoutError):
                try:
                    connection.sendall(b"x")
                    return not connection.recv(100)
                except ConnectionError:
                    return True

        wait_until(is_given_up)


def is_closed(connection):
    """Whether the server closes the connection, with or without a response."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def test_health_does_not_name_the_server(web):
    with web.get("/health") as response:
        assert response.status == 200
        assert b'"postgresql": "ok"' in response.read()
        assert "server" not in response.headers


@pytest.mark.slow
def test_without_connections_it_ends_at_once(start):
    web = start(drain_seconds=60)

    web.ask_to_stop()

    assert web.process.wait(PROCESS_PATIENCE) == 0


def test_it_finishes_responses_and_accepts_no_new_connections(start):
    web = start(drain_seconds=60)
    with web.get("/slow?2") as response, web.connect() as client:
        assert response.read(5) == b"begin"

        web.ask_to_stop()

        assert close_code(client) == 1012
        wait_until(lambda: not accepts(web.port))
        assert response.read() == b"ended"
    assert web.process.wait(PROCESS_PATIENCE) == 0


@pytest.mark.slow
def test_an_endless_response_does_not_delay_the_shutdown(start):
    web = start(drain_seconds=0.5)
    with web.get("/slow?60") as response:
        response.read(5)

        web.ask_to_stop()

        assert web.process.wait(PROCESS_PATIENCE) == 0


@pytest.mark.parametrize("code", [1000, 1008, 1012, 1013, 4401])
def test_close_codes_and_their_reasons_reach_the_client(web, code):
    with web.connect() as client:
        client.send(str(code))

        closed = closing(client)
        assert (closed.code, closed.reason) == (code, "because")


def test_a_message_that_is_too_long_closes_the_socket(web):
    with web.connect() as client:
        client.send("x" * 65537)

        assert close_code(client) == 1009


def test_sent_messages_may_be_longer_than_received_ones(web):
    """A batch of statuses with word times, for example; other lengths are limits of frame headers."""
    with web.connect() as client:
        for length in (1, 125, 126, 65535, 65536, 400_000):
            client.send(f"send {length}")
            assert len(client.recv(PATIENCE)) == length


def test_a_flood_of_messages_is_not_buffered(server, web):
    """Daphne continues to read when the application is slow; uvicorn stops reading, so the sender waits."""
    with web.connect() as client:
        client.send("sleep")
        if server == "daphne":
            flood(client)
            assert close_code(client) == 1008
        else:
            flooding = threading.Thread(target=flood, args=(client,), daemon=True)
            flooding.start()
            flooding.join(1)
            assert flooding.is_alive()
            client.socket.shutdown(socket.SHUT_RDWR)
            flooding.join()


def flood(client):
    with contextlib.suppress(ConnectionClosed, OSError):
        for _ in range(5000):
            client.send("x" * 10_000)


def close_code(client):
    return closing(client).code


def closing(client):
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=PATIENCE)
    return closed.value.rcvd


def test_a_taken_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        done = run_web("--port", port)

    assert done.returncode == 1
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", [-1, 65_536 + 8000])
def test_an_invalid_port_is_named(port):
    with pytest.raises(CommandError, match=f"no port {port}. .*--port"):
        listen("127.0.0.1", port)


def test_without_log_in_it_listens_on_the_loopback_only():
    done = run_web("--host", "0.0.0.0")

    assert done.returncode == 1
    assert "no log-in" in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_public_addresses(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_addresses(host):
    assert is_loopback(host)


def run_web(*arguments):
    command = [sys.executable, "manage.py", "run_web", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
