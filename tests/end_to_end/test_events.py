"""The events socket of two web processes, daphne and uvicorn: each tells what the other one has changed."""

import asyncio
import contextlib
import json
import secrets

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from config.local.program import free_port
from tests.end_to_end.test_authentication import Browser
from tests.stack import Stack
from tests.waiting import PATIENCE, PROCESS_PATIENCE, wait_until
from yapit.client import Client

pytestmark = pytest.mark.slow

MAKE = """
import json
from tests.yapit.factories import make_user
from yapit.accounts.keys import create_key
from yapit.models import TTSModel
TTSModel.objects.filter(slug="tone").update(is_active=True)
user = make_user("reader")
print(json.dumps([create_key(user, name).token for name in ("phone", "laptop")]))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    # Within the patience of the tests, changes are told by the layer only.
    settings = {"MULTI_USER": "1", "DJANGO_SETTINGS_MODULE": "tests.end_to_end.rare_epoch_check_settings"}
    stack = Stack.launch(tmp_path_factory.mktemp("stack"), **settings)
    stack.start_cold()
    stack.start("worker", "run_worker", "--model", "tone")
    yield stack
    stack.close()


@pytest.fixture(scope="module")
def tokens(stack):
    return json.loads(stack.manage("shell", "-v0", "-c", MAKE))


@pytest.fixture(scope="module")
def webs(stack):
    """The addresses of both."""
    stack.start_web("daphne")
    here, stack.port = stack.url, free_port()
    stack.start_web("uvicorn", name="web-two")
    return here, stack.url


@pytest.fixture(params=["to uvicorn", "to daphne"])
def here_and_there(webs, request):
    return webs if request.param == "to uvicorn" else webs[::-1]


@contextlib.contextmanager
def events(web, token):
    socket = connect(
        web.replace("http", "ws") + "/v1/ws/events",
        additional_headers={"authorization": f"Bearer {token}"},
        compression=None,
        open_timeout=PROCESS_PATIENCE,
    )
    with socket:
        assert frame(socket)["type"] == "connected"
        yield socket


def frame(socket):
    return json.loads(socket.recv(PATIENCE))


def call(stack, web, token, method, path, body=None):
    stack.port = int(web.rpartition(":")[2])
    status, answer, _ = stack.request(method, path, body, {"Authorization": f"Bearer {token}"})
    assert status < 300, answer
    return answer


def test_a_document_changed_at_one_is_told_at_the_other(stack, here_and_there, tokens):
    here, there = here_and_there
    token = tokens[0]
    document = call(stack, here, token, "POST", "/v1/documents/text", {"content": "A short text."})["id"]
    with events(there, token) as socket:
        socket.send(json.dumps({"type": "watch", "document_ids": [document]}))
        assert frame(socket)["document_ids"] == [document]

        call(stack, here, token, "PATCH", f"/v1/documents/{document}", {"title": "Renamed"})
        changed = frame(socket)
        title = call(stack, there, token, "GET", f"/v1/documents/{document}")["title"]
        call(stack, here, token, "DELETE", f"/v1/documents/{document}")
        gone = frame(socket)

    assert (changed["type"], changed["document_id"], title) == ("changed", document, "Renamed")
    assert (gone["type"], gone["document_id"]) == ("document_gone", document)


def test_a_charge_is_told_and_can_be_read_then(stack, here_and_there, tokens):
    here, there = here_and_there

    def used():
        usage = call(stack, there, tokens[0], "GET", "/v1/usage")
        return sum(line["events"] for line in usage["by_model"])

    before = used()
    with events(there, tokens[0]) as socket:
        text = f"A text with the new word {secrets.token_hex(6)}."
        call(stack, here, tokens[0], "POST", "/v1/synthesize", {"text": text, "model": "tone"})

        changed = frame(socket)

        assert (changed["type"], changed["subject"]) == ("changed", "balance")
        assert used() == before + 1


def test_a_revoked_key_closes_its_socket_at_the_other_and_is_told_to_those_of_other_keys(
    stack, here_and_there, tokens
):
    here, there = here_and_there
    with events(there, tokens[1]) as other:
        browser = Browser(here).log_in({"name": "reader"})
        token = json.loads(browser.request("POST", "/v1/keys", b'{"name": "short-lived"}'))["token"]
        assert frame(other)["subject"] == "keys"
        with events(there, token) as socket:
            browser.request("DELETE", f"/v1/keys/{token.split('_')[1]}")

            with pytest.raises(ConnectionClosed) as closed:
                [frame(socket) for _ in range(2)]  # it may be told of the change itself, too

            assert closed.value.rcvd.code == 4401
        assert frame(other)["subject"] == "keys"


def test_a_web_process_that_ends_asks_its_clients_to_reconnect(stack, webs, tokens):
    stack.port = free_port()
    stack.start_web("daphne", name="web-three")
    with events(stack.url, tokens[0]) as socket:
        stack.stop("web-three")

        with pytest.raises(ConnectionClosed) as closed:
            frame(socket)
    assert closed.value.rcvd.code == 1012


def test_the_client_reads_the_state_again_after_a_restart_and_goes_on(stack, webs, tokens):
    stack.port = free_port()
    stack.start_web("daphne", name="web-four")
    url = stack.url
    document = call(stack, url, tokens[0], "POST", "/v1/documents/text", {"content": "One more text."})["id"]

    async def follow():
        async with asyncio.timeout(2 * PROCESS_PATIENCE), Client(url, tokens[0]) as client:
            kinds = []
            async for event in client.events(documents=[document]):
                kinds.append(event.kind)
                if kinds == ["connected"]:
                    await asyncio.to_thread(stack.stop, "web-four")
                    await asyncio.to_thread(stack.start_web, name="web-four")
                elif kinds == ["connected", "connected"]:
                    changes = {"title": "Renamed"}
                    path = f"/v1/documents/{document}"
                    await asyncio.to_thread(call, stack, webs[1], tokens[0], "PATCH", path, changes)
                else:
                    return kinds

    assert asyncio.run(follow()) == ["connected", "connected", "document"]
    stack.stop("web-four")


def test_a_lost_subscription_is_restored_and_the_state_read_again(stack, here_and_there, tokens):
    here, there = here_and_there
    with events(there, tokens[0]) as socket:
        with stack.redis as redis:
            redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert frame(socket)["type"] == "connected"

        def is_told():
            call(stack, here, tokens[0], "PATCH", "/v1/me/preferences", {"usage_threshold": 60})
            with contextlib.suppress(TimeoutError):
                return json.loads(socket.recv(1))["subject"] == "preferences"

        wait_until(is_told)
