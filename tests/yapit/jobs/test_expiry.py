"""What a listener leaves behind in Redis ends by itself, but for work, money and audio on their way."""

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

# Each goes when its work is done, is one for the whole server, or is cut to a length.
LASTING = {
    "audio": "until it is in SQLite, and then five minutes",
    "billing": "a stream, until it is charged",
    "reserved-counted": "one mark",
    "reserved": "characters that are not charged yet",
    "finished": "ids of eight days, trimmed by the scheduler",
    "inflight": "until its job ends",
    "job": "until it ends",
    "job-number": "one counter",
    "leases": "of jobs under way",
    "orders": "a stream, until it is applied",
    "persist": "a stream, until it is stored",
    "queue": "of jobs that wait",
    "results": "a stream, until it is taken",
    "subs": "until the job ends",
    "unpersisted": "one counter",
    "vtime": "one number for each model",
    "wake": "at most 64 tokens for each model",
}
OF_SOMEBODY = {"reserved", "inflight", "job", "queue", "subs"}


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
    """The first part of each key's name, and whether all that have it expire."""
    found = {}
    for name in redis.scan_iter(count=1000):
        family = name.decode().split(":")[0]
        found[family] = found.get(family, True) and redis.ttl(name) >= 0
    return found


@pytest.fixture
async def listener(document, redis):
    """In the middle of a session as people have them, with most that can happen in one behind it."""
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
    one = Listener(headers=[], query=f"ticket={ticket}")
    await one.connect()
    await told(one, document, 0, 1)
    await work_off(redis)
    await told(one, document, 2)
    await fail_all(redis)
    await told(one, document, 3, 4)
    await one.send(type="cursor_moved", document_id=str(document.pk), cursor=6)
    await told(one, document, 6)
    yield one
    await one.close()


async def told(one, document, *indices):
    """That all of them are queued."""
    await one.ask(document, *indices, model="tone", voice="sine")
    while brief(await one.frame())[1:3] != (indices[-1], "queued"):
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


async def test_while_work_is_under_way_nothing_else_lasts(listener, redis):
    found = await offload(families, redis)

    assert {"limit", "cache", "requested", "day", "outcome", *OF_SOMEBODY} <= found.keys()
    assert {family for family, expires in found.items() if not expires} <= LASTING.keys()


async def test_when_all_is_done_nothing_of_anybody_lasts(listener, redis):
    await work_off(redis)
    await listener.close()
    await offload(charge, redis)

    found = await offload(families, redis)

    assert {family for family, expires in found.items() if not expires} <= LASTING.keys() - OF_SOMEBODY
