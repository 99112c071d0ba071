"""Isolation of accounts: every operation with the ids of another account's objects."""

import re
import uuid

import pytest

from billing.usage.recording import record_usage
from config.database.offload import offload
from tests.billing.usage_events import make_event
from tests.waiting import async_wait_until
from tests.yapit.api.test_api import OPERATIONS
from tests.yapit.factories import make_document, make_model, make_user, make_voice
from tests.yapit.sockets.socket_client import Listener, listener
from tests.yapit.web.http_clients import with_key
from yapit import documents
from yapit.accounts import identity, keys
from yapit.catalog import resolution
from yapit.models import ApiKey, Document, Playback, Preferences, Voice
from yapit.realtime import notifications

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "canary"  # in all of Ann's objects
BODY = {
    "title": "his now",
    "name": "his now",
    "is_public": True,
    "block_idx": 1,
    "usage_threshold": 1,
    "content": "His own.",
    "text": "His own.",
    "password": "correct horse",
    "confirm": "ann",
}


@pytest.fixture(autouse=True)
def _empty_caches(redis):
    identity.forget()
    resolution.forget()


def make_ann():
    ann = make_user("ann")
    document = make_document(ann, f"{CANARY} one.", f"{CANARY} two.", title=CANARY)
    document.sections.create(position=0, kind="p", html=f"<p>{CANARY}</p>", first_block=0, block_count=2)
    Playback.objects.create(user=ann, document=document, block_idx=0, played_at=document.created)
    Preferences.objects.create(user=ann, default_voice=f"{CANARY}-voice", usage_threshold=77)
    tone = make_model("tone", is_active=True)
    make_voice("sine", model=tone)
    voice = make_voice(f"{CANARY}-voice", name=CANARY, owner=ann, approved=False, model=tone)
    key = keys.create_key(ann, CANARY).key
    record_usage([make_event(ann.pk, 7, voice=f"{CANARY}-voice", document=document.pk)])
    return {"document_id": document.pk, "key_id": key.pk, "voice_id": voice.slug, "model_id": "tone"}


def state():
    """All of Ann's rows that an operation could change."""
    tables = (Document, Playback, Preferences, Voice, ApiKey)
    return [list(table.objects.exclude(**{of(table): "ben"}).order_by("pk").values()) for table in tables]


def of(table):
    return "user__username" if hasattr(table, "user") else "owner__username"


@pytest.fixture
async def ann_ids():
    return await offload(make_ann)


@pytest.fixture
async def ben():
    return (await offload(lambda: keys.create_key(make_user("ben"), "laptop"))).token


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_no_operation_reads_or_changes_objects_of_another_account(ann_ids, ben, method, path):
    before = await offload(state)
    url = re.sub(r"{(\w+)}", lambda name: str(ann_ids[name[1]]), path)

    answer = await with_key(ben).send(method, url, None if method == "GET" else BODY)

    said = b"".join([part async for part in answer]) if answer.streaming else answer.content
    assert CANARY not in said.decode()
    assert await offload(state) == before
    if "{document_id}" in path or "{voice_id}" in path:
        assert answer.status_code == 404


async def test_a_socket_does_not_find_documents_of_another_account(ann_ids, ben):
    theirs = await offload(make_document)
    async with listener(headers=[(b"authorization", f"Bearer {ben}".encode())]) as socket:
        for document, voice, code in (
            (ann_ids["document_id"], None, "document_not_found"),
            (uuid.uuid4(), None, "document_not_found"),
            (theirs.pk, ann_ids["voice_id"], "voice_not_found"),
        ):
            request = {"document_id": str(document), "block_indices": [0], "model": "tone", "voice": voice}
            await socket.send(type="synthesize", **request)
            assert (await socket.frame())["code"] == code


async def test_an_unshared_document_is_gone_at_once_for_connected_listeners(ben):
    def make():
        make_voice("sine", model=make_model("tone", is_active=True))
        return make_document(make_user("ann"), "One.", "Two.", is_public=True)

    document = await offload(make)
    socket = Listener(headers=[(b"authorization", f"Bearer {ben}".encode())])
    await socket.connect()
    await socket.ask(document, 0, model="tone", voice="sine")
    assert (await socket.frame())["status"] == "queued"

    await offload(documents.change, document.pk, document.owner_id, is_public=False)

    async def is_gone():
        await socket.ask(document, 1, model="tone", voice="sine")
        return (await socket.frame()).get("code") == "document_not_found"

    await async_wait_until(is_gone, timeout=15)  # half of the lifetime of the cached permission
    await socket.close()
    await notifications.hub().close()
