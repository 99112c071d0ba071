"""Whatever is lost on the way, each connection hears exactly one end of each block that it asked for."""

import asyncio
import json
import secrets
from collections import Counter

import pytest
from websockets.asyncio.client import connect

from tests.stack import Stack
from tests.waiting import PROCESS_PATIENCE, async_wait_until

pytestmark = pytest.mark.slow

SWITCH_TONE_ON = (
    "from yapit.models import TTSModel; TTSModel.objects.filter(slug='tone').update(is_active=True)"
)
COUNT = 8
LISTENERS = 3
ENDS = ("cached", "skipped", "error")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    folder.chmod(0o711)
    stack = Stack.launch(folder, LEASE_SECONDS="2", RENEW_SECONDS="0.5")
    stack.manage("shell", "-v0", "-c", SWITCH_TONE_ON)
    stack.start_all("tone", server="uvicorn")
    yield stack
    stack.close()


@pytest.fixture
def document(stack):
    name = secrets.token_hex(6)
    passages = (
        f"Passage {n} of {name}, which is long enough to be a block of its own." for n in range(COUNT)
    )
    return stack.make_document("\n\n".join(passages), markdown=False)


class Listener:
    """One connection, and all that it heard of each block."""

    def __init__(self, socket):
        self.socket, self.heard = socket, []

    async def ask(self, document):
        message = {
            "type": "synthesize",
            "document_id": document["id"],
            "block_indices": list(range(COUNT)),
            "model": "tone",
            "voice": "slow",
        }
        await self.socket.send(json.dumps(message))

    async def listen(self):
        """Until each block has ended; then until an answer that was sent after that."""
        while len(self.ends()) < COUNT:
            await self._hear_one()
        await self.socket.send("no message")
        while self.heard[-1]["type"] != "error":
            await self._hear_one()

    async def _hear_one(self):
        self.heard.append(json.loads(await self.socket.recv()))

    def ends(self):
        return Counter(
            each["block_idx"] for each in self.heard if each["type"] == "status" and each["status"] in ENDS
        )

    def has_heard_that_it_is_queued_after_its_end(self):
        ended = set()
        for each in self.heard:
            if each.get("status") in ENDS:
                ended.add(each["block_idx"])
            elif each.get("status") == "queued" and each["block_idx"] in ended:
                return True
        return False


def kill_the_consumer(stack):
    stack.kill("results")
    stack.start("results")


def kill_the_worker(stack):
    stack.kill("worker")
    stack.start("worker")


def empty_redis(stack):
    with stack.redis as redis:
        redis.flushall()


def restart_redis(stack):
    stack.kill_valkey()
    stack.start_valkey()


@pytest.mark.parametrize("harm", [kill_the_consumer, kill_the_worker, empty_redis, restart_redis])
async def test_every_block_ends_once_on_every_connection(stack, document, harm):
    async with asyncio.timeout(PROCESS_PATIENCE):
        listeners = [Listener(await connect(stack.socket_url, origin=stack.url)) for _ in range(LISTENERS)]
        for listener in listeners:
            await listener.ask(document)
        listening = [asyncio.create_task(listener.listen()) for listener in listeners]
        for ended in (1, COUNT // 2):
            await async_wait_until(lambda ended=ended: len(listeners[0].ends()) >= ended, PROCESS_PATIENCE)
            await asyncio.to_thread(harm, stack)
        await asyncio.gather(*listening)

    for listener in listeners:
        assert listener.ends() == dict.fromkeys(range(COUNT), 1)
        assert not listener.has_heard_that_it_is_queued_after_its_end()
        assert all(each["status"] != "error" for each in listener.heard if each["type"] == "status")
        await listener.socket.close()
