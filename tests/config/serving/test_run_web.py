"""The web process under both servers, with real sockets and signals."""

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
    """A web process that the tests of this module share."""
    web = Web(server, drain_seconds=1)
    yield web
    web.process.kill()
    web.process.wait()


@pytest.fixture
def start(server):
    """Starts a web process, and sees to its end."""
    with contextlib.ExitStack() as running:

        def begin(drain_seconds=5, **env):
            web = Web(server, drain_seconds, **env)
            running.callback(web.process.wait)
            running.callback(web.process.kill)
            return web

        yield begin


def test_a_request_whose_head_has_no_end_is_cut_off(web):
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                connection.sendall(b"X-Padding: " + b"x" * 1000 + b"\r\n")
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            assert not connection.recv(100).startswith(b"HTTP/1.1 2")


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_without_end_is_cut_off(web, server, is_announced):
    """Daphne keeps a body until it is whole; uvicorn hands it on as it comes, and keeps nothing."""
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


def test_what_follows_a_body_does_not_become_a_header(web):
    """Otherwise it comes past whoever has looked at the headers: a proxy, or a check of ours."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE) as connection:
        connection.sendall(CHUNKED + b"Authorization: Bearer x\r\nX-Late: 1\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()

        assert set(answer.read().split()) <= {b"host", b"transfer-encoding"}


@pytest.mark.parametrize("piece", [b"x" * 2**16, b"x: y\r\n" * 2**13], ids=["one", "many"])
def test_what_follows_a_body_without_end_is_cut_off(web, piece):
    with socket.create_connection(("127.0.0.1", web.port), timeout=PATIENCE) as connection:
        connection.sendall(CHUNKED + b"X-Late: ")

        with pytest.raises(ConnectionError):
            connection.sendall(piece * 1000)


def test_who_does_not_come_to_the_end_of_a_request_is_hung_up_on(start):
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
            assert hangs_up(connection), what


@pytest.mark.slow
@pytest.mark.parametrize("begun", [b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: "])
def test_a_head_that_comes_a_byte_at_a_time_is_given_up(start, begun):
    """Each byte alone comes in good time."""
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


def hangs_up(connection):
    """Whatever it says before."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def test_health_is_told_without_naming_the_server(web):
    with web.get("/health") as response:
        assert response.status == 200
        assert b'"postgresql": "ok"' in response.read()
        assert "server" not in response.headers


@pytest.mark.slow
def test_with_nothing_open_it_ends_at_once(start):
    web = start(drain_seconds=60)

    web.ask_to_stop()

    assert web.process.wait(PROCESS_PATIENCE) == 0


def test_it_finishes_what_it_has_begun_and_lets_nobody_new_in(start):
    web = start(drain_seconds=60)
    with web.get("/slow?2") as response, web.connect() as client:
        assert response.read(5) == b"begin"

        web.ask_to_stop()

        assert close_code(client) == 1012
        wait_until(lambda: not accepts(web.port))
        assert response.read() == b"ended"
    assert web.process.wait(PROCESS_PATIENCE) == 0


@pytest.mark.slow
def test_a_response_without_end_does_not_hold_up_the_end(start):
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


def test_what_we_send_may_be_longer_than_what_we_are_sent(web):
    """A batch of statuses with word timings is. The others are lengths at which a frame changes its head."""
    with web.connect() as client:
        for length in (1, 125, 126, 65535, 65536, 400_000):
            client.send(f"send {length}")
            assert len(client.recv(PATIENCE)) == length


def test_a_flood_is_not_collected(server, web):
    """Daphne reads on whatever the application does; uvicorn stops reading, and the sender has to wait."""
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
def test_what_is_no_port_is_named(port):
    with pytest.raises(CommandError, match=f"no port {port}. .*--port"):
        listen("127.0.0.1", port)


def test_alone_it_listens_to_this_machine_only():
    done = run_web("--host", "0.0.0.0")

    assert done.returncode == 1
    assert "no log-in" in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_addresses_that_others_reach(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_addresses_of_this_machine_alone(host):
    assert is_loopback(host)


def run_web(*arguments):
    command = [sys.executable, "manage.py", "run_web", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
