"""Raw HTTP client for audio: GET over one kept connection, measures the time of the first byte."""

import asyncio
import time
from typing import Self

from yapit.load.raw_socket import Address


class RawHttp:
    """One request at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, token: str
    ) -> None:
        self._reader, self._writer = reader, writer
        self._rest = f"Host: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, url: str, token: str) -> Self:
        address = Address.of(url)
        streams = await asyncio.open_connection(address.host, address.port, limit=1 << 20, ssl=address.tls)
        return cls(*streams, f"{address.host}:{address.port}", token)

    async def get(self, path: str) -> float:
        """Read the whole file and return the time of its first byte. Raises ConnectionError."""
        async with self._turn:
            self._writer.write(f"GET {path} HTTP/1.1\r\n{self._rest}".encode())
            try:
                head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
                if not head.startswith(b"http/1.1 200 "):
                    raise ConnectionError(f"no audio: {head[:100]!r}")
                length = int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0])
                await self._reader.readexactly(1)
                first_byte_at = time.perf_counter()
                await self._reader.readexactly(length - 1)
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
                raise ConnectionError(f"no audio: {type(error).__name__}") from error
            return first_byte_at

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()
