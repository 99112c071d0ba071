"""A server that speaks the protocol as a test tells it to: well, badly, or not at all."""

import asyncio
import json
from contextlib import asynccontextmanager

from websockets.asyncio.server import serve

DOCUMENT = "00000000-0000-0000-0000-000000000001"
URL = f"/v1/audio/{'0' * 64}"


class Visit:
    """One connection, from the server's side."""

    def __init__(self, socket, number):
        self.socket = socket
        self.number = number  # from 1
        self.seq = 0

    async def asked(self):
        """The indices of the next `synthesize`."""
        while (message := json.loads(await self.socket.recv()))["type"] != "synthesize":
            pass
        return message["block_indices"]

    async def say(self, *, seq=None, **message):
        self.seq = self.seq + 1 if seq is None else seq
        await self.socket.send(json.dumps({"seq": self.seq, **message}))

    async def tell(self, index, status="cached", **more):
        url = URL if status == "cached" else None
        await self.say(
            **{
                "type": "status",
                "document_id": DOCUMENT,
                "block_idx": index,
                "status": status,
                "audio_url": url,
                **more,
            }
        )

    async def answer(self):
        """As it ought to be, until the client leaves."""
        while True:
            for index in await self.asked():
                await self.tell(index)


@asynccontextmanager
async def strange(behave):
    """`behave(visit)` for each connection; the server's URL."""
    visits = 0

    async def handler(socket):
        nonlocal visits
        visits += 1
        await behave(Visit(socket, visits))

    async with serve(handler, "127.0.0.1", 0, subprotocols=["yapit.v1"], compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"http://127.0.0.1:{port}"


async def hear(client, count=2):
    """How each block ended, by index."""
    async with asyncio.timeout(30):
        return {
            status.block_idx: status.status
            async for status in client.statuses(DOCUMENT, stop=count)
            if status.status != "queued"
        }
