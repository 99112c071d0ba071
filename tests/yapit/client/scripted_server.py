"""Servers whose connections follow a script of the test: valid, faulty or no protocol at all."""

import asyncio
import json
from contextlib import asynccontextmanager

from websockets.asyncio.server import serve

DOCUMENT = "00000000-0000-0000-0000-000000000001"
URL = f"/v1/audio/{'0' * 64}"


class ServerConnection:
    """The server's side of one WebSocket."""

    def __init__(self, socket, number):
        self.socket = socket
        self.number = number  # from 1
        self.seq = 0

    async def requested(self):
        """Wait for the next `synthesize` and return its indices."""
        while (message := json.loads(await self.socket.recv()))["type"] != "synthesize":
            pass
        return message["block_indices"]

    async def send(self, *, seq=None, **message):
        self.seq = self.seq + 1 if seq is None else seq
        await self.socket.send(json.dumps({"seq": self.seq, **message}))

    async def send_status(self, index, status="cached", **fields):
        url = URL if status == "cached" else None
        await self.send(
            **{
                "type": "status",
                "document_id": DOCUMENT,
                "block_idx": index,
                "status": status,
                "audio_url": url,
                **fields,
            }
        )

    async def serve(self):
        """Answer every request by `cached` until the client closes the connection."""
        while True:
            for index in await self.requested():
                await self.send_status(index)


@asynccontextmanager
async def socket_server(script):
    """Run `script(connection)` for each WebSocket; yield the server's URL."""
    count = 0

    async def handler(socket):
        nonlocal count
        count += 1
        await script(ServerConnection(socket, count))

    async with serve(handler, "127.0.0.1", 0, subprotocols=["yapit.v1"], compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def raw_server(script):
    """Run `script(reader, writer)` for each TCP connection; yield the server's URL."""

    async def handler(reader, writer):
        try:
            await script(reader, writer)
        except ConnectionError:
            pass  # closed by the client
        finally:
            writer.close()

    async with await asyncio.start_server(handler, "127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http_response(status, body=b"", **headers):
    """The bytes of an HTTP response; header names with underscores."""
    headers = {"content-length": len(body), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Reason\r\n{lines}\r\n".encode() + body


async def outcomes(client, count=2):
    """The terminal status of each block, by index."""
    async with asyncio.timeout(30):
        return {
            status.block_idx: status.status
            async for status in client.statuses(DOCUMENT, stop=count)
            if status.status != "queued"
        }
