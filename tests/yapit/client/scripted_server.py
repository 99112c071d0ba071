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


@asynccontextmanager
async def raw(behave):
    """`behave(reader, writer)` for each connection, whatever it is to be; the server's URL."""

    async def handler(reader, writer):
        try:
            await behave(reader, writer)
        except ConnectionError:
            pass  # the client has enough of it
        finally:
            writer.close()

    async with await asyncio.start_server(handler, "127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def answer(status, body=b"", **headers):
    """As it is on the wire."""
    headers = {"content-length": len(body), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + body


async def hear(client, count=2):
    """How each block ended, by index."""
    async with asyncio.timeout(30):
        return {
            status.block_idx: status.status
            async for status in client.statuses(DOCUMENT, stop=count)
            if status.status != "queued"
        }
