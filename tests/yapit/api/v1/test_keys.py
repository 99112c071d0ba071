"""/v1/keys: creating, listing, renaming and revoking keys, and their limit."""

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from config.database.offload import offload
from tests.yapit.factories import make_user
from tests.yapit.web.http_clients import own_page, with_key
from yapit.accounts import identity, keys
from yapit.errors import TooManyKeys
from yapit.models import ApiKey

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = "/v1/keys"


@pytest.fixture(autouse=True)
def _empty_caches():
    identity.forget()


@pytest.fixture
async def local():
    return await offload(make_user, "local")


@pytest.fixture
async def made(local):
    return await offload(keys.create_key, local, "laptop")


async def make(name, **more):
    return await own_page().send("POST", KEYS, {"name": name, **more})


async def listed(client=None):
    return (await (client or own_page()).send("GET", KEYS)).json()["data"]


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_key_is_shown_once_and_works(local):
    answer = await make("laptop")

    token = answer.json()["token"]
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert (await with_key(token).send("GET", "/v1/me")).json()["via"] == "key"
    assert token not in json.dumps(await listed())


async def test_keys_are_listed_newest_first_with_their_last_use(made):
    await with_key(made.token).send("GET", "/v1/me")
    await make("phone", expires_in_days=30)

    phone, laptop = await listed()
    assert (phone["name"], laptop["name"]) == ("phone", "laptop")
    assert (phone["last_used"], laptop["expires_at"]) == (None, None)
    assert phone["expires_at"] > (timezone.now() + timedelta(days=29)).isoformat()


async def test_revoking_a_key_is_immediate_and_idempotent(made):
    path = f"{KEYS}/{made.key.pk}"

    codes = [(await own_page().send("DELETE", path)).status_code for _ in range(2)]

    assert codes == [204, 204]
    assert await listed() == []
    assert code(await with_key(made.token).send("GET", KEYS)) == (401, "invalid_api_key")


async def test_a_key_is_renamed(made):
    answer = await own_page().send("PATCH", f"{KEYS}/{made.key.pk}", {"name": "  old laptop "})

    assert answer.json()["name"] == (await listed())[0]["name"] == "old laptop"


async def test_keys_of_other_accounts_are_not_found(local):
    other = await offload(lambda: keys.create_key(make_user(), "theirs"))
    path = f"{KEYS}/{other.key.pk}"

    assert await listed() == []
    assert code(await own_page().send("DELETE", path)) == (404, "key_not_found")
    assert code(await own_page().send("PATCH", path, {"name": "mine"})) == (404, "key_not_found")
    assert await listed(with_key(other.token)) != []


@pytest.mark.parametrize("key_id", ["a\0", "%00", "x" * 300, "..%2F", "é"])
async def test_hostile_ids_are_not_found(local, key_id):
    assert (await own_page().send("DELETE", f"{KEYS}/{key_id}")).status_code == 404


async def test_a_key_cannot_create_keys_and_revokes_only_itself(made):
    other = await offload(lambda: keys.create_key(made.key.user, "other"))
    program = with_key(made.token)

    refused = [
        await program.send("POST", KEYS, {"name": "another"}),
        await program.send("PATCH", f"{KEYS}/{made.key.pk}", {"name": "another"}),
        await program.send("DELETE", f"{KEYS}/{other.key.pk}"),
    ]

    assert {code(answer) for answer in refused} == {(403, "login_needed")}
    assert (await program.send("DELETE", f"{KEYS}/{made.key.pk}")).status_code == 204


@pytest.mark.parametrize(
    "name", ["", "   ", "a\0b", "a\nb", "\u202eevil", "\ud800", "x" * 101, "\u2028", "\x1b[31m", 7, None]
)
async def test_names_with_invisible_characters_are_refused(local, name):
    answer = await make(name)

    assert code(answer) == (400, "invalid_request")
    assert answer.json()["error"]["param"] == "name"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "'; DROP TABLE--", "👩‍💻 λ", "x" * 100])
async def test_other_names_are_stored_unchanged(local, name):
    assert (await make(name)).json()["name"] == (await listed())[0]["name"] == name


@pytest.mark.parametrize("days", [0, -1, 3651, 10**30, 1.5, "30", True])
async def test_invalid_lifetimes_are_refused(local, days):
    assert (await make("laptop", expires_in_days=days)).json()["error"]["param"] == "expires_in_days"


async def test_too_many_keys_are_refused_until_one_is_revoked(made, settings):
    settings.KEYS_PER_ACCOUNT = 1

    assert code(await make("phone")) == (409, "too_many_keys")
    await own_page().send("DELETE", f"{KEYS}/{made.key.pk}")

    assert (await make("phone")).status_code == 201


def test_the_limit_holds_under_concurrency(settings):
    settings.KEYS_PER_ACCOUNT = 3
    user = make_user()

    def add():
        try:
            keys.add_key(user.pk, "one of many")
        except TooManyKeys:
            pass
        finally:
            connection.close()

    together([add] * 8)

    assert ApiKey.objects.count() == 3


def test_old_revoked_keys_are_deleted():
    user = make_user()
    for _ in range(keys.REVOKED_KEPT + 3):
        keys.revoke(keys.add_key(user.pk, "again").key)

    assert ApiKey.objects.count() <= keys.REVOKED_KEPT + 1


def together(functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
