"""Stub server that answers at once, to measure the limit of the load generators.

`python -m benchmarks.stub_server sockets|http PORT [BYTES]`
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

STATUS = (
    b'{"type":"status","seq":1,"document_id":"00000000-0000-0000-0000-000000000000","block_idx":%d,'
    b'"status":"%s","audio_url":"/v1/audio/' + b"0" * 64 + b'","error":null,"recoverable":true,"code":null,'
    b'"model_slug":"tone","voice_slug":"instant","word_timestamps":null,"duration_ms":20000,"pause_ms":250,"usage":null}'
)


class Socket(asyncio.Protocol):
    """Two statuses for each block, as from Yapit, formatted as bytes to take little time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.protocol = ServerProtocol(subprotocols=["yapit.v1"], max_size=None)

    def data_received(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                self.protocol.send_response(self.protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.transport.write(b"".join(_frames(json.loads(event.data).get("block_indices", ()))))
        self.transport.writelines(self.protocol.data_to_send())


def _frames(indices: Sequence[int]) -> Iterator[bytes]:
    for status in ("queued", "cached"):
        for index in indices:
            text = STATUS % (index, status.encode())
            yield b"\x81\x7e" + len(text).to_bytes(2) + text


class FixedResponse(asyncio.Protocol):
    def __init__(self, response: bytes) -> None:
        self.response = response

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.response)


async def main(kind: str, port: int, size: int) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    protocol = Socket if kind == "sockets" else lambda: FixedResponse(head + bytes(size))
    server = await loop.create_server(protocol, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int((sys.argv[3:] or ["0"])[0])))
