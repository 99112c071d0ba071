"""Keys of a session in Redis expire, except those of unfinished jobs, uncharged usage and unstored audio."""

import pytest
from asgiref.sync import sync_to_async
from django.test import Client as Browser

from billing.usage.consumer import BillingHandler
from config.database.offload import offload
from config.streams import StopFlag, StreamConsumer
from tests.yapit.factories import make_document, make_model, make_user, make_voice
from tests.yapit.sockets.socket_client import Listener, brief, fail_all, work_off
from tests.yapit.web.http_clients import with_key
from yapit.accounts import identity, keys
from yapit.realtime import notifications

pytestmark = pytest.mark.django_db(transaction=True)

# Each is deleted when its work is done, exists once for the whole server, or has a limited length.
LASTING = {
    "audio": "until it is in SQLite, and then five minutes",
    "billing": "a stream, each entry until it is charged",
    "reserved-counted": "one flag",
    "reserved": "characters that are not charged yet",
    "reservations": "one hash, each field until its use is charged",
    "finished": "ids of eight days, trimmed by the scheduler",
    "gain": "one value for each voice and revision",
    "inflight": "until its job ends",
    "job": "until it ends",
    "job-number": "one counter",
    "leases": "of claimed jobs",
    "orders": "a stream, each entry until it is applied",
    "persist": "a stream, each entry until it is stored",
    "queue": "of waiting jobs",
    "results": "a stream, each entry until it is finalized",
    "subs": "until the job ends",
    "unpersisted": "one counter",
    "vtime": "one number for each queue",
    "wake": "at most 64 tokens for each queue",
}
OF_ACCOUNTS = {"reserved", "reservations", "inflight", "job", "queue", "subs"}


@pytest.fixture
async def document(async_redis, settings):
    identity.forget()
    settings.DEFAULT_MODEL = "tone"

    def make():
        make_voice("sine", model=make_model("tone", is_active=True))
        owner = make_user("ann", is_staff=True)
        return make_document(owner, *(f"Passage number {n}." for n in range(8)), is_public=True)

    yield await offload(make)
    await notifications.hub().close()


def families(redis):
    """{first part of a key name: whether all such keys expire}."""
    found = {}
    for name in redis.scan_iter(count=1000):
        family = name.decode().split(":")[0]
        found[family] = found.get(family, True) and redis.ttl(name) >= 0
    return found


@pytest.fixture
async def listener(document, redis):
    """A client in the middle of a session that has used most features."""
    made = await offload(keys.create_key, document.owner, "laptop")
    api = with_key(made.token)
    for path in (
        "/v1/models",
        "/v1/audio/voices",
        f"/v1/documents/{document.pk}/blocks",
        "/v1/leaderboard/recent",
    ):
        assert (await api.send("GET", path)).status_code == 200
    await api.send("PATCH", "/v1/me/preferences", {"usage_threshold": 50})
    await log_in_and_out()
    ticket = (await api.send("POST", "/v1/ws/ticket")).json()["ticket"]
    client = Listener(headers=[], query=f"ticket={ticket}")
    await client.connect()
    await request(client, document, 0, 1)
    await work_off(redis)
    await request(client, document, 2)
    await fail_all(redis)
    await request(client, document, 3, 4)
    await client.send(type="cursor_moved", document_id=str(document.pk), cursor=6)
    await request(client, document, 6)
    yield client
    await client.close()


async def request(client, document, *indices):
    """Request blocks, and wait until the last of them is queued."""
    await client.ask(document, *indices, model="tone", voice="sine")
    while brief(await client.frame())[1:3] != (indices[-1], "queued"):
        pass


def charge(redis):
    StreamConsumer(BillingHandler(), redis).run(StopFlag(), drain=True)


@sync_to_async
def log_in_and_out():
    browser = Browser(REMOTE_ADDR="8.8.8.8")
    for password in ("guess", "correct horse"):
        browser.post("/admin/login/", {"username": "ann", "password": password})
    assert browser.get("/admin/").status_code == 200
    browser.post("/account/", {"old_password": "guess"})


async def test_during_a_session_only_listed_keys_do_not_expire(listener, redis):
    found = await offload(families, redis)

    assert {"limit", "cache", "requested", "day", "outcome", *OF_ACCOUNTS} <= found.keys()
    assert {family for family, expires in found.items() if not expires} <= LASTING.keys()


async def test_after_a_session_no_key_of_an_account_lasts(listener, redis):
    await work_off(redis)
    await listener.close()
    await offload(charge, redis)

    found = await offload(families, redis)

    assert {family for family, expires in found.items() if not expires} <= LASTING.keys() - OF_ACCOUNTS
