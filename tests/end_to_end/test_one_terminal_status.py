"""Each connection gets exactly one terminal status of each block, whatever is killed or lost."""

import asyncio
import json
import secrets
from collections import Counter

import pytest
from websockets.asyncio.client import connect

from tests.stack import Stack
from tests.waiting import PROCESS_PATIENCE, async_wait_until

pytestmark = pytest.mark.slow

ACTIVATE_TONE = (
    "from yapit.models import TTSModel; TTSModel.objects.filter(slug='tone').update(is_active=True)"
)
COUNT = 8
LISTENERS = 3
TERMINAL = ("cached", "skipped", "error")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    folder.chmod(0o711)
    stack = Stack.launch(folder, LEASE_SECONDS="2", RENEW_SECONDS="0.5")
    stack.manage("shell", "-v0", "-c", ACTIVATE_TONE)
    stack.start_all("tone", server="uvicorn")
    yield stack
    stack.close()


@pytest.fixture
def document(stack):
    name = secrets.token_hex(6)
    paragraphs = (
        f"Passage {n} of {name}, which is long enough to be a separate block." for n in range(COUNT)
    )
    return stack.make_document("\n\n".join(paragraphs), markdown=False)


class Listener:
    """One connection and the frames that it received."""

    def __init__(self, socket):
        self.socket, self.frames = socket, []

    async def request(self, document):
        message = {
            "type": "synthesize",
            "document_id": document["id"],
            "block_indices": list(range(COUNT)),
            "model": "tone",
            "voice": "slow",
        }
        await self.socket.send(json.dumps(message))

    async def receive_all(self):
        """Receive until each block has ended, and then until the answer to one more message."""
        while len(self.ends()) < COUNT:
            await self._receive()
        await self.socket.send("no message")
        while self.frames[-1]["type"] != "error":
            await self._receive()

    async def _receive(self):
        self.frames.append(json.loads(await self.socket.recv()))

    def ends(self):
        return Counter(
            frame["block_idx"]
            for frame in self.frames
            if frame["type"] == "status" and frame["status"] in TERMINAL
        )

    def has_queued_after_end(self):
        ended = set()
        for frame in self.frames:
            if frame.get("status") in TERMINAL:
                ended.add(frame["block_idx"])
            elif frame.get("status") == "queued" and frame["block_idx"] in ended:
                return True
        return False


def kill_consumer(stack):
    stack.kill("results")
    stack.start("results")


def kill_worker(stack):
    stack.kill("worker")
    stack.start("worker")


def empty_redis(stack):
    with stack.redis as redis:
        redis.flushall()


def restart_redis(stack):
    stack.kill_valkey()
    stack.start_valkey()


@pytest.mark.parametrize("fault", [kill_consumer, kill_worker, empty_redis, restart_redis])
async def test_every_block_ends_once_on_every_connection(stack, document, fault):
    async with asyncio.timeout(PROCESS_PATIENCE):
        listeners = [Listener(await connect(stack.socket_url, origin=stack.url)) for _ in range(LISTENERS)]
        for listener in listeners:
            await listener.request(document)
        receiving = [asyncio.create_task(listener.receive_all()) for listener in listeners]
        for ended in (1, COUNT // 2):
            await async_wait_until(lambda ended=ended: len(listeners[0].ends()) >= ended, PROCESS_PATIENCE)
            await asyncio.to_thread(fault, stack)
        await asyncio.gather(*receiving)

    for listener in listeners:
        assert listener.ends() == dict.fromkeys(range(COUNT), 1)
        assert not listener.has_queued_after_end()
        assert all(frame["status"] != "error" for frame in listener.frames if frame["type"] == "status")
        await listener.socket.close()
