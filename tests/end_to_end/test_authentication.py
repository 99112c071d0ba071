"""Who is let in by two web processes, daphne and uvicorn, which share accounts, changes and limits."""

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
password = make_password("correct horse")  # once: it takes long
def make(number):
    user = User.objects.create(username=f"person-{number}", password=password)
    return {"name": user.username, "tokens": [create_key(user, "laptop").token for _ in range(2)]}
print(json.dumps([make(number) for number in range(20)]))
"""
PLACES, MESSAGES, BLOCKS = 3, 10, 6


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    folder.chmod(0o711)
    stack = Stack.launch(
        folder,
        MULTI_USER="1",
        DJANGO_SETTINGS_MODULE=slow_resync_settings.__name__,
        CONNECTIONS_PER_USER=str(PLACES),
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
    """Nobody has seen them before."""
    return next(people)


@pytest.fixture(scope="module")
def webs(stack):
    """The addresses of both."""
    stack.start_web("daphne")
    here, stack.port = stack.url, free_port()
    stack.start_web("uvicorn", name="web-two")
    return here, stack.url


@pytest.fixture(params=["daphne", "uvicorn"])
def web(webs, request):
    return webs[request.param == "uvicorn"]


class Browser:
    """Keeps cookies, and says which page it is on."""

    def __init__(self, web):
        self.web = web
        self.cookies = CookieJar()
        self._opener = build_opener(HTTPCookieProcessor(self.cookies))

    def ask(self, method, path, data=None, **headers):
        request = Request(self.web + path, data, {"Origin": self.web, **headers}, method=method)
        with self._opener.open(request, timeout=PROCESS_PATIENCE) as answer:
            return answer.read().decode()

    def submit(self, path, page=None, **fields):
        form = self.ask("GET", page or path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[1]
        return self.ask("POST", path, urlencode({**fields, "csrfmiddlewaretoken": token}).encode())

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


def of_page(browser, web=None):
    return opened(web or browser.web, origin=browser.web, cookie=browser.cookie)


def close_code(socket):
    return closing(socket)[0]


def closing(socket):
    with socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(PATIENCE)
    return closed.value.rcvd.code, closed.value.rcvd.reason


def is_open(socket):
    return ask(socket, type="hello")["code"] == "unknown_type"


def ask(socket, **message):
    socket.send(json.dumps(message))
    return json.loads(socket.recv(PATIENCE))


# --- Let in, and refused ----------------------------------------------------------------------------------


def test_each_refusal_has_its_code(web, person):
    strange = "https://evil.example"
    browser = Browser(web).log_in(person)

    assert closing(opened(web, origin=web)) == (4407, "missing_credentials")
    wrong = f"Bearer yk_a1b2c3d4e5f6_{'0' * 48}"
    assert closing(opened(web, authorization=wrong)) == (4401, "invalid_api_key")
    gone = "sessionid=" + "a" * 32
    assert closing(opened(web, origin=web, cookie=gone)) == (4401, "not_authenticated")
    assert closing(opened(web, f"?ticket=yt_{'0' * 48}")) == (4401, "invalid_ticket")
    assert closing(opened(web, f"?key={person['tokens'][0]}")) == (4400, "key_in_address")
    assert closing(opened(web, origin=strange, cookie=browser.cookie)) == (4403, "origin_refused")


def test_each_kind_of_credentials_lets_in(web, person):
    browser = Browser(web).log_in(person)
    ticket = json.loads(browser.ask("POST", "/v1/ws/ticket"))["ticket"]
    token = person["tokens"][0]

    with opened(web, authorization=f"Bearer {token}") as socket:
        assert is_open(socket)
    with opened(web, subprotocols=["yapit.v1", f"yapit.key.{token}"]) as socket:
        assert (is_open(socket), socket.subprotocol) == (True, "yapit.v1")
    with of_page(browser) as socket:
        assert is_open(socket)
    with opened(web, f"?ticket={ticket}", origin=web) as socket:
        assert is_open(socket)


# --- Cannot be checked right now --------------------------------------------------------------------------


@pytest.fixture
def without_postgresql(stack):
    """The server takes nobody in for this database, and sends away who is there."""
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


def test_without_postgresql_it_is_said_that_it_cannot_be_checked(without_postgresql, webs, person):
    assert [close_code(with_key(web, person)) for web in webs] == [1013, 1013]


def test_without_redis_it_is_said_that_it_cannot_be_checked(without_redis, webs, person):
    assert [close_code(with_key(web, person)) for web in webs] == [1013, 1013]


def test_without_both_it_is_said_too_and_afterwards_it_is_checked_again(stack, webs, person, request):
    request.getfixturevalue("without_redis")
    request.getfixturevalue("without_postgresql")

    assert [close_code(with_key(web, person)) for web in webs] == [1013, 1013]


def test_after_the_outages_everybody_is_let_in_again(webs, person):
    for web in webs:

        def is_let_in(web=web):
            with with_key(web, person) as socket:
                try:
                    return is_open(socket)
                except ConnectionClosed:
                    return False

        wait_until(is_let_in)


# --- Told to the other process ----------------------------------------------------------------------------


def test_a_key_that_is_revoked_at_one_closes_its_sockets_at_the_other(webs, person):
    here, there = webs
    with with_key(there, person) as socket, with_key(there, person, 1) as other:
        assert is_open(socket)
        key_id = person["tokens"][0].split("_")[1]

        Browser(here).log_in(person).ask("DELETE", f"/v1/keys/{key_id}")

        assert close_code(socket) == 4401
        assert is_open(other)
    assert close_code(with_key(there, person)) == 4401  # remembered for an hour, had nobody said so


def test_logging_out_at_one_closes_the_sockets_of_the_session_at_the_other(webs, person):
    here, there = webs
    leaving, staying = Browser(here).log_in(person), Browser(there).log_in(person)
    with opened(there, origin=there, cookie=leaving.cookie) as socket, of_page(staying) as other:
        assert is_open(socket)

        leaving.submit("/logout/", page="/account/")

        assert close_code(socket) == 4401
        assert is_open(other)


def test_a_new_password_at_one_ends_other_sessions_at_the_other(webs, person):
    here, there = webs
    changing, other = Browser(here).log_in(person), Browser(there).log_in(person)
    with of_page(other) as socket:
        assert is_open(socket)

        new = dict.fromkeys(("new_password1", "new_password2"), "battery staple 9")
        changing.submit("/account/", old_password="correct horse", **new)

        assert close_code(socket) == 4401
    with of_page(changing) as socket:
        assert is_open(socket)


def test_an_account_that_is_deleted_at_one_loses_its_sockets_at_the_other(webs, person):
    here, there = webs
    browser = Browser(here).log_in(person)
    with with_key(there, person) as by_key, opened(there, origin=there, cookie=browser.cookie) as by_page:
        assert is_open(by_key)
        assert is_open(by_page)

        browser.ask("DELETE", "/v1/me", b'{"password": "correct horse"}')

        assert [close_code(by_key), close_code(by_page)] == [4401, 4401]


# --- Counted together -------------------------------------------------------------------------------------


def test_connections_are_counted_over_both(webs, person):
    here, there = webs
    with with_key(here, person) as one, with_key(here, person) as two, with_key(there, person) as three:
        assert all(map(is_open, (one, two, three)))

        assert close_code(with_key(there, person)) == 4429
        assert close_code(with_key(here, person)) == 4429


def test_messages_are_counted_over_both_and_the_refusal_names_the_wait(webs, person):
    here, there = webs
    with with_key(here, person) as one, with_key(there, person) as other:
        answers = [ask(socket, type="hello") for _ in range(MESSAGES) for socket in (one, other)]

    codes = [answer["code"] for answer in answers]
    assert codes == ["unknown_type"] * MESSAGES + ["rate_limited"] * MESSAGES
    assert 0 < answers[-1]["retry_after"] <= 100


def test_new_blocks_are_counted_over_both_and_the_refusal_names_the_wait(stack, webs, person):
    here, there = webs
    text = "\n\n".join(f"Passage {n} of {person['name']}, long enough to be a block." for n in range(8))
    made = Browser(here).ask(
        "POST",
        "/v1/documents/text",
        json.dumps({"content": text, "markdown": False}).encode(),
        Authorization=f"Bearer {person['tokens'][0]}",
    )
    wanted = {"type": "synthesize", "document_id": json.loads(made)["id"]}
    with with_key(here, person) as one, with_key(there, person) as other:
        told = [ask(one, **wanted, block_indices=[n]) for n in range(4)]
        told += [ask(other, **wanted, block_indices=[n]) for n in range(4, 8)]

    assert [frame.get("status") for frame in told[:BLOCKS]] == ["queued"] * BLOCKS
    assert [frame.get("code") for frame in told[BLOCKS:]] == ["rate_limited"] * 2
    assert 0 < told[-1]["retry_after"] <= 60
