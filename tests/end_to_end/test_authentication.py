"""Authentication of sockets by two web processes, daphne and uvicorn, with shared accounts and limits."""

import json
import re
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import psycopg
import pytest
from psycopg import sql
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from config.local.program import free_port
from tests.end_to_end import slow_resync_settings
from tests.stack import Stack
from tests.waiting import PATIENCE, PROCESS_PATIENCE, wait_until

pytestmark = pytest.mark.slow

MAKE = """
import json
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from yapit.accounts.keys import create_key
password = make_password("correct horse")  # once, since hashing is slow
def make(number):
    user = User.objects.create(username=f"person-{number}", password=password)
    return {"name": user.username, "tokens": [create_key(user, "laptop").token for _ in range(2)]}
print(json.dumps([make(number) for number in range(20)]))
"""
CONNECTIONS, MESSAGES, BLOCKS = 3, 10, 6


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    folder.chmod(0o711)
    stack = Stack.launch(
        folder,
        MULTI_USER="1",
        DJANGO_SETTINGS_MODULE=slow_resync_settings.__name__,
        CONNECTIONS_PER_USER=str(CONNECTIONS),
        MESSAGES_BURST=str(MESSAGES),
        MESSAGES_PER_SECOND="0.01",
        BLOCKS_PER_MINUTE=str(BLOCKS),
    )
    yield stack
    stack.close()


@pytest.fixture(scope="module")
def people(stack):
    return iter(json.loads(stack.manage("shell", "-v0", "-c", MAKE)))


@pytest.fixture
def person(people):
    """An account that no other test uses."""
    return next(people)


@pytest.fixture(scope="module")
def webs(stack):
    """The addresses of both web processes."""
    stack.start_web("daphne")
    daphne, stack.port = stack.url, free_port()
    stack.start_web("uvicorn", name="web-two")
    return daphne, stack.url


@pytest.fixture(params=["daphne", "uvicorn"])
def web(webs, request):
    return webs[request.param == "uvicorn"]


class Browser:
    """An HTTP client with cookies and the Origin of its page."""

    def __init__(self, web):
        self.web = web
        self.cookies = CookieJar()
        self._opener = build_opener(HTTPCookieProcessor(self.cookies))

    def request(self, method, path, data=None, **headers):
        request = Request(self.web + path, data, {"Origin": self.web, **headers}, method=method)
        with self._opener.open(request, timeout=PROCESS_PATIENCE) as response:
            return response.read().decode()

    def submit(self, path, page=None, **fields):
        form = self.request("GET", page or path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[1]
        return self.request("POST", path, urlencode({**fields, "csrfmiddlewaretoken": token}).encode())

    def log_in(self, person):
        self.submit("/login/", username=person["name"], password="correct horse")
        assert "sessionid" in self.cookie
        return self

    @property
    def cookie(self):
        return "; ".join(f"{one.name}={one.value}" for one in self.cookies)


def opened(web, query="", origin=None, subprotocols=None, **headers):
    return connect(
        web.replace("http", "ws") + "/v1/ws/tts" + query,
        origin=origin,
        subprotocols=subprotocols,
        additional_headers=headers,
        compression=None,
        open_timeout=PROCESS_PATIENCE,
    )


def with_key(web, person, number=0):
    return opened(web, authorization=f"Bearer {person['tokens'][number]}")


def with_session(browser, web=None):
    return opened(web or browser.web, origin=browser.web, cookie=browser.cookie)


def close_code(socket):
    return closing(socket)[0]


def closing(socket):
    with socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(PATIENCE)
    return closed.value.rcvd.code, closed.value.rcvd.reason


def is_open(socket):
    return exchange(socket, type="hello")["code"] == "unknown_type"


def exchange(socket, **message):
    socket.send(json.dumps(message))
    return json.loads(socket.recv(PATIENCE))


# --- Accepted and refused ----------------------------------------------------------------------------------


def test_each_refusal_has_its_code(web, person):
    foreign = "https://evil.example"
    browser = Browser(web).log_in(person)

    assert closing(opened(web, origin=web)) == (4407, "missing_credentials")
    wrong = f"Bearer yk_a1b2c3d4e5f6_{'0' * 48}"
    assert closing(opened(web, authorization=wrong)) == (4401, "invalid_api_key")
    unknown = "sessionid=" + "a" * 32
    assert closing(opened(web, origin=web, cookie=unknown)) == (4401, "not_authenticated")
    assert closing(opened(web, f"?ticket=yt_{'0' * 48}")) == (4401, "invalid_ticket")
    assert closing(opened(web, f"?key={person['tokens'][0]}")) == (4400, "key_in_address")
    assert closing(opened(web, origin=foreign, cookie=browser.cookie)) == (4403, "origin_refused")


def test_each_kind_of_credentials_is_accepted(web, person):
    browser = Browser(web).log_in(person)
    ticket = json.loads(browser.request("POST", "/v1/ws/ticket"))["ticket"]
    token = person["tokens"][0]

    with opened(web, authorization=f"Bearer {token}") as socket:
        assert is_open(socket)
    with opened(web, subprotocols=["yapit.v1", f"yapit.key.{token}"]) as socket:
        assert (is_open(socket), socket.subprotocol) == (True, "yapit.v1")
    with with_session(browser) as socket:
        assert is_open(socket)
    with opened(web, f"?ticket={ticket}", origin=web) as socket:
        assert is_open(socket)


# --- During outages ---------------------------------------------------------------------------------------


@pytest.fixture
def without_postgresql(stack):
    """PostgreSQL refuses connections to this database and ends the existing ones."""
    name = stack.env["DATABASE_URL"].rpartition("/")[2]
    elsewhere = stack.env["DATABASE_URL"].rpartition("/")[0] + "/postgres"

    def allow(is_allowed):
        with psycopg.connect(elsewhere, autocommit=True) as server:
            allowing = "ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}"
            server.execute(sql.SQL(allowing).format(sql.Identifier(name), sql.SQL(str(is_allowed).lower())))
            ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            server.execute(ending, [name])

    allow(False)
    yield
    allow(True)


@pytest.fixture
def without_redis(stack, webs):
    stack.kill_valkey()
    yield
    stack.start_valkey()
    wait_until(stack.is_healthy, PROCESS_PATIENCE)


def test_without_postgresql_sockets_are_closed_with_try_again_later(without_postgresql, webs, person):
    assert [close_code(with_key(web, person)) for web in webs] == [1013, 1013]


def test_without_redis_sockets_are_closed_with_try_again_later(without_redis, webs, person):
    assert [close_code(with_key(web, person)) for web in webs] == [1013, 1013]


def test_without_both_sockets_are_closed_with_try_again_later(stack, webs, person, request):
    request.getfixturevalue("without_redis")
    request.getfixturevalue("without_postgresql")

    assert [close_code(with_key(web, person)) for web in webs] == [1013, 1013]


def test_after_the_outages_sockets_are_accepted_again(webs, person):
    for web in webs:

        def is_accepted(web=web):
            with with_key(web, person) as socket:
                try:
                    return is_open(socket)
                except ConnectionClosed:
                    return False

        wait_until(is_accepted)


# --- Changes made through the other process ---------------------------------------------------------------


def test_revoking_a_key_closes_its_sockets_in_the_other_process(webs, person):
    first, second = webs
    with with_key(second, person) as socket, with_key(second, person, 1) as other:
        assert is_open(socket)
        key_id = person["tokens"][0].split("_")[1]

        Browser(first).log_in(person).request("DELETE", f"/v1/keys/{key_id}")

        assert close_code(socket) == 4401
        assert is_open(other)
    assert close_code(with_key(second, person)) == 4401  # without the notification cached for an hour


def test_logging_out_closes_the_sockets_of_the_session_in_the_other_process(webs, person):
    first, second = webs
    leaving, staying = Browser(first).log_in(person), Browser(second).log_in(person)
    with opened(second, origin=second, cookie=leaving.cookie) as socket, with_session(staying) as other:
        assert is_open(socket)

        leaving.submit("/logout/", page="/account/")

        assert close_code(socket) == 4401
        assert is_open(other)


def test_a_new_password_closes_sockets_of_other_sessions_in_the_other_process(webs, person):
    first, second = webs
    changing, other = Browser(first).log_in(person), Browser(second).log_in(person)
    with with_session(other) as socket:
        assert is_open(socket)

        new = dict.fromkeys(("new_password1", "new_password2"), "battery staple 9")
        changing.submit("/account/", old_password="correct horse", **new)

        assert close_code(socket) == 4401
    with with_session(changing) as socket:
        assert is_open(socket)


def test_deleting_an_account_closes_its_sockets_in_the_other_process(webs, person):
    first, second = webs
    browser = Browser(first).log_in(person)
    with with_key(second, person) as by_key, opened(second, origin=second, cookie=browser.cookie) as by_page:
        assert is_open(by_key)
        assert is_open(by_page)

        browser.request("DELETE", "/v1/me", b'{"password": "correct horse"}')

        assert [close_code(by_key), close_code(by_page)] == [4401, 4401]


# --- Shared limits ----------------------------------------------------------------------------------------


def test_connections_are_counted_over_both_processes(webs, person):
    first, second = webs
    with with_key(first, person) as one, with_key(first, person) as two, with_key(second, person) as three:
        assert all(map(is_open, (one, two, three)))

        assert close_code(with_key(second, person)) == 4429
        assert close_code(with_key(first, person)) == 4429


def test_messages_are_counted_over_both_processes_and_refused_with_retry_after(webs, person):
    first, second = webs
    with with_key(first, person) as one, with_key(second, person) as other:
        answers = [exchange(socket, type="hello") for _ in range(MESSAGES) for socket in (one, other)]

    codes = [answer["code"] for answer in answers]
    assert codes == ["unknown_type"] * MESSAGES + ["rate_limited"] * MESSAGES
    assert 0 < answers[-1]["retry_after"] <= 100


def test_new_blocks_are_counted_over_both_processes_and_refused_with_retry_after(stack, webs, person):
    first, second = webs
    text = "\n\n".join(f"Passage {n} of {person['name']}, long enough to be a block." for n in range(8))
    created = Browser(first).request(
        "POST",
        "/v1/documents/text",
        json.dumps({"content": text, "markdown": False}).encode(),
        Authorization=f"Bearer {person['tokens'][0]}",
    )
    message = {"type": "synthesize", "document_id": json.loads(created)["id"]}
    with with_key(first, person) as one, with_key(second, person) as other:
        frames = [exchange(one, **message, block_indices=[n]) for n in range(4)]
        frames += [exchange(other, **message, block_indices=[n]) for n in range(4, 8)]

    assert [frame.get("status") for frame in frames[:BLOCKS]] == ["queued"] * BLOCKS
    assert [frame.get("code") for frame in frames[BLOCKS:]] == ["rate_limited"] * 2
    assert 0 < frames[-1]["retry_after"] <= 60
