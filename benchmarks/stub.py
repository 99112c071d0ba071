"""Answers listeners and closed loops at once, with nothing behind it: what those can do at most.

`python -m benchmarks.stub sockets|http PORT [BYTES]`
"""

import asyncio
import json
import sys

from websockets.asyncio.server import ServerConnection, serve


async def answer(socket: ServerConnection) -> None:
    """Two statuses for each block, as from Yapit."""
    async for text in socket:
        message = json.loads(text)
        for status in ("queued", "cached"):
            for index in message["block_indices"]:
                await socket.send(
                    json.dumps(
                        {
                            "type": "status",
                            "seq": 1,
                            "document_id": message["document_id"],
                            "block_idx": index,
                            "status": status,
                            "audio_url": f"/v1/audio/{'0' * 64}",
                            "duration_ms": 20000,
                        }
                    )
                )


class SameAnswer(asyncio.Protocol):
    def __init__(self, response: bytes) -> None:
        self.response = response

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.response)


async def main(kind: str, port: int, size: int) -> None:
    if kind == "sockets":
        async with serve(answer, "127.0.0.1", port, compression=None) as server:
            await server.serve_forever()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SameAnswer(head + bytes(size)), "127.0.0.1", port)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int((sys.argv[3:] or ["0"])[0])))
