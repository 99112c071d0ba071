"""One-time tickets: each opens one socket while the credential it was issued for is valid."""

import asyncio
import json
import logging

import pytest
from asgiref.sync import sync_to_async

from config import caching
from config.database.offload import offload
from config.redis import clients as redis_clients
from tests.yapit.accounts.test_identity import http, log_in, refusal, socket
from tests.yapit.factories import make_user
from tests.yapit.sockets.socket_client import Listener, listener
from tests.yapit.web.http_clients import Client, own_page, with_key
from yapit.accounts import identity, keys, tickets
from yapit.accounts.identity import identify_scope
from yapit.errors import NotAuthenticated, OriginRefused
from yapit.realtime import notifications

pytestmark = pytest.mark.django_db(transaction=True)

OWN = "http://localhost:8000"
FOREIGN = {"host": "evil.example", "origin": "https://evil.example"}


@pytest.fixture(autouse=True)
async def _empty_caches(async_redis):
    identity.forget()
    yield
    await identity.key_uses_recorded()


@pytest.fixture
async def made():
    return await offload(lambda: keys.create_key(make_user(), "laptop"))


@pytest.fixture
async def ticket(made):
    answer = await with_key(made.token).send("POST", "/v1/ws/ticket")
    assert answer.status_code == 201, answer.content
    return answer.json()["ticket"]


def with_ticket(ticket, **headers):
    return socket(**headers) | {"query_string": f"a=b&ticket={ticket}".encode()}


async def redeem(ticket):
    try:
        return await identify_scope(with_ticket(ticket, **FOREIGN))
    except NotAuthenticated:
        return None


# --- Once -------------------------------------------------------------------------------------------------


async def test_a_ticket_has_the_identity_of_its_key(made, ticket):
    owner = await redeem(ticket)

    assert (owner.user_id, owner.api_key_id, owner.via) == (made.key.user_id, made.key.pk, "key")


async def test_of_20_connections_with_one_ticket_one_is_accepted(ticket):
    owners = await asyncio.gather(*(redeem(ticket) for _ in range(20)))

    assert sum(owner is not None for owner in owners) == 1


async def test_without_an_atomic_getdel_several_would_be_accepted(ticket, monkeypatch):
    """The control of the test above."""
    barrier = asyncio.Barrier(20)

    async def get_then_delete(name):
        value = await redis_clients.hot().get(name)
        await barrier.wait()
        await redis_clients.hot().delete(name)
        return value

    monkeypatch.setattr(redis_clients.hot(), "getdel", get_then_delete)

    owners = await asyncio.gather(*(redeem(ticket) for _ in range(20)))

    assert sum(owner is not None for owner in owners) > 1


async def test_redis_stores_a_hash_of_the_ticket_and_expires_it(ticket, async_redis):
    [name] = await async_redis.keys("ticket:*")

    assert ticket.encode() not in name + await async_redis.get(name)
    assert 0 < await async_redis.ttl(name) <= 30
    assert await redeem(name.decode().removeprefix("ticket:")) is None


@pytest.mark.parametrize(
    "query",
    [
        "ticket=",
        "ticket=nope",
        "ticket=yt_" + "0" * 48,
        "ticket=%00",
        "ticket=a&ticket=b",
        "&" * 50 + "ticket=a",
    ],
)
async def test_an_invalid_ticket_is_refused_even_with_a_valid_session(query, settings):
    settings.MULTI_USER = True
    cookie = await offload(lambda: log_in(make_user()))
    connection = socket(origin=OWN, **cookie) | {"query_string": query.encode()}

    assert await refusal(NotAuthenticated, connection) == "invalid_ticket"


async def test_a_ticket_is_not_valid_for_http(ticket):
    request = http() | {"query_string": f"ticket={ticket}".encode()}

    assert await refusal(NotAuthenticated, request) == "not_authenticated"


async def test_the_response_with_a_ticket_is_not_cached(made):
    answer = await with_key(made.token).send("POST", "/v1/ws/ticket")

    assert answer["Cache-Control"] == "no-store"
    assert set(answer.json()) == {"object", "ticket", "expires_in"}


async def test_tickets_are_limited_and_the_refusal_has_a_retry_after(made, monkeypatch, async_redis):
    monkeypatch.setattr(tickets, "BURST", 2)
    client = with_key(made.token)

    answers = [await client.send("POST", "/v1/ws/ticket") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].json()["error"]["code"] == "rate_limited"
    assert answers[2]["Retry-After"] == "1"
    assert all([await async_redis.ttl(name) > 0 for name in await async_redis.keys("*")])


# --- Restrictions of the credential ------------------------------------------------------------------------


async def test_a_ticket_of_a_log_in_opens_sockets_from_our_pages_only(settings):
    settings.MULTI_USER = True
    user = await offload(make_user)
    page = own_page(**await offload(log_in, user))

    issued = [(await page.send("POST", "/v1/ws/ticket")).json()["ticket"] for _ in range(3)]

    assert (await identify_scope(with_ticket(issued[0], origin=OWN))).user_id == user.pk
    await refusal(OriginRefused, with_ticket(issued[1], **FOREIGN))
    await refusal(OriginRefused, with_ticket(issued[2]))


async def test_another_site_cannot_get_a_ticket(settings):
    settings.MULTI_USER = True
    cookie = await offload(lambda: log_in(make_user()))

    for page in ({}, {"origin": "https://evil.example"}):
        assert (await Client(**page, **cookie).send("POST", "/v1/ws/ticket")).status_code == 403


@pytest.mark.parametrize("end", ["key", "account"])
async def test_a_ticket_ends_with_its_key_and_its_account(made, ticket, end):
    if end == "key":
        await offload(keys.revoke, made.key)
    else:
        await offload(lambda: made.key.user.delete())

    assert await redeem(ticket) is None


async def test_a_ticket_of_the_local_account_is_invalid_in_multi_user_mode(settings):
    await offload(make_user, "local")
    issued = await own_page().send("POST", "/v1/ws/ticket")

    settings.MULTI_USER = True

    await refusal(NotAuthenticated, with_ticket(issued.json()["ticket"], origin=OWN))


async def test_a_socket_that_a_ticket_opened_closes_with_the_key(made, ticket, settings):
    settings.IDENTITY_SECONDS = 3600  # only the event can close the socket in time
    async with listener(query=f"ticket={ticket}", headers=[]) as one:
        await caching.listen().subscribed()
        await one.send(type="hello")
        assert (await one.frame())["code"] == "unknown_type"

        await offload(keys.revoke, made.key)

        assert await one.close_code() == 4401


# --- Keys in addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["token={}", "ticket={}", "{}", "a=b&api_key=%79{}"])
async def test_a_key_in_an_address_is_refused_with_its_own_code_and_not_logged(made, query, caplog):
    caplog.set_level(logging.DEBUG)
    written = made.token.removeprefix("y") if "%79" in query else made.token
    one = Listener(query=query.format(written), headers=[(b"authorization", f"Bearer {made.token}".encode())])
    await one.connect()

    assert await one.close_code() == 4400
    assert made.token[3:] not in caplog.text
    await notifications.hub().close()


async def test_a_key_in_an_address_is_refused_over_http_too(made):
    answer = await with_key(made.token).send("GET", f"/v1/me?token={made.token}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_in_address")
    assert made.token not in json.dumps(answer.json())
    answer = await with_key(made.token).send("DELETE", f"/v1/keys/{made.token}")
    assert answer.json()["error"]["code"] == "key_in_address"


async def test_missing_and_wrong_credentials_have_different_close_codes(settings):
    settings.MULTI_USER = True
    codes = {}
    for name, cookie in {"missing": "", "wrong": "sessionid=gone"}.items():
        page = [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1"), (b"cookie", cookie.encode())]
        one = Listener(headers=page)
        await one.connect()
        codes[name] = await one.close_code()

    assert codes == {"missing": 4407, "wrong": 4401}


async def test_without_redis_a_ticket_cannot_be_checked(ticket, monkeypatch):
    @sync_to_async
    def fail(name):
        raise redis_clients.redis.ConnectionError

    monkeypatch.setattr(redis_clients.hot(), "getdel", fail)
    one = Listener(query=f"ticket={ticket}", headers=[])
    await one.connect()

    assert await one.close_code() == 1013
