"""Plays as the reader page does, many times over: asks for blocks ahead, hears of them, fetches them.

Runs on one event loop in the process of the benchmark, which is not one of the servers'. `Played.cpu_seconds`
is what it took for itself; `benchmarks.stub` answers it at once, and so shows how far it can go.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

AT_ONCE = 8  # blocks in a message
REFILL = AT_ONCE // 2  # or fewer left to wait for: the next message
BUSY = frozenset({"busy", "unavailable"})
BUSY_SECONDS = 0.25
PLAYING_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Listener:
    """Who asks for the blocks 0..blocks-1 of a document of its own."""

    token: str
    document_id: str
    blocks: int
    model: str
    voice: str


@dataclass(slots=True)
class Played:
    cached: list[float] = field(default_factory=list)  # seconds from the request of each block to `cached`
    heard: list[float] = field(default_factory=list)  # seconds to the first byte of its audio, if fetched
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    servers_cpu_seconds: float | None = None
    refused: int = 0  # told to come back, which they did

    @property
    def rate(self) -> float:
        return len(self.cached) / self.seconds


class AudioConnection:
    """One HTTP connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader, self._writer = reader, writer
        self._rest = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"

    @classmethod
    async def open(cls, address: tuple[str, int], token: str) -> Self:
        return cls(*await asyncio.open_connection(*address, limit=1 << 20), token)

    async def get(self, path: str) -> float:
        """The whole file; when its first byte was here."""
        self._writer.write(f"GET {path} HTTP/1.1\r\n{self._rest}".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200 "):
            raise ConnectionError(f"no audio: {head[:100]!r}")
        length = int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0])
        await self._reader.readexactly(1)
        first_byte_at = time.perf_counter()
        await self._reader.readexactly(length - 1)
        return first_byte_at

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class Player:
    """One listener at work."""

    def __init__(self, listener: Listener, socket: ClientConnection, audio: AudioConnection | None) -> None:
        self.listener, self.socket, self.audio = listener, socket, audio
        self.played = Played()
        self._asked: dict[int, float] = {}
        self._next = 0
        self._fetches: asyncio.Queue[tuple[str, float] | None] = asyncio.Queue()

    async def play(self) -> None:
        """Until every block is there, and its audio here."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fetch())
            await self._listen()
            self._fetches.put_nowait(None)

    async def _listen(self) -> None:
        await self._refill()
        while self._asked:
            status = json.loads(await self.socket.recv())
            if status.get("status") == "cached":
                asked_at = self._asked.pop(status["block_idx"])
                self.played.cached.append(time.perf_counter() - asked_at)
                self._fetches.put_nowait((status["audio_url"], asked_at))
            elif status.get("status") != "queued":
                await self._come_back(status)
            if len(self._asked) <= REFILL:
                await self._refill()

    async def _refill(self) -> None:
        until = min(self._next + AT_ONCE, self.listener.blocks)
        indices = list(range(self._next, until))
        self._next = until
        now = time.perf_counter()
        self._asked.update(dict.fromkeys(indices, now))
        await self._ask(indices)

    async def _come_back(self, status: dict[str, Any]) -> None:
        if status.get("code") not in BUSY:
            raise RuntimeError(f"not spoken: {status}")
        self.played.refused += 1
        await asyncio.sleep(BUSY_SECONDS)
        await self._ask([status["block_idx"]])

    async def _ask(self, indices: Sequence[int]) -> None:
        if indices:
            listener = self.listener
            message = {
                "type": "synthesize",
                "document_id": listener.document_id,
                "block_indices": indices,
                "model": listener.model,
                "voice": listener.voice,
            }
            await self.socket.send(json.dumps(message))

    async def _fetch(self) -> None:
        while (wanted := await self._fetches.get()) is not None:
            path, asked_at = wanted
            if self.audio:
                self.played.heard.append(await self.audio.get(path) - asked_at)


async def play(url: str, listeners: Sequence[Listener], *, fetch: bool) -> Played:
    """All listeners at the same time. The clock runs from when all are connected until the last is done."""
    async with asyncio.timeout(PLAYING_SECONDS):
        players = [await _connected(url, listener, fetch=fetch) for listener in listeners]
        begun, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as tasks:
            for player in players:
                tasks.create_task(player.play())
        together = Played(seconds=time.perf_counter() - begun, cpu_seconds=time.process_time() - cpu)
        for player in players:
            together.cached += player.played.cached
            together.heard += player.played.heard
            together.refused += player.played.refused
            await _disconnected(player)
    return together


async def connected_socket(url: str, token: str) -> ClientConnection:
    """As the reader page's: pings answered, nothing compressed."""
    return await connect(
        f"{url.replace('http', 'ws', 1)}/v1/ws/tts",
        additional_headers={"Authorization": f"Bearer {token}"},
        compression=None,
        proxy=None,
        max_queue=None,
    )


def address_of(url: str) -> tuple[str, int]:
    host, port = url.rpartition("/")[2].split(":")
    return host, int(port)


async def _connected(url: str, listener: Listener, *, fetch: bool) -> Player:
    audio = await AudioConnection.open(address_of(url), listener.token) if fetch else None
    return Player(listener, await connected_socket(url, listener.token), audio)


async def _disconnected(player: Player) -> None:
    await player.socket.close()
    if player.audio:
        await player.audio.close()
