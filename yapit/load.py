"""Many listeners in one process, and what they met. Cheap: it usually shares the cores with the server.

Each listener has a connection of its own, and no task: a frame is decoded as far as is needed here, and may
send the next request at once. `Played.cpu_seconds` is what all this took.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles

import msgspec

from yapit.client.thin import ThinSocket

COME_BACK = frozenset({"busy", "unavailable", "rate_limited"})
COME_BACK_SECONDS = 0.25
CONNECTING = 20  # at the same time


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens to the blocks 0..blocks-1 of which document."""

    token: str
    document_id: str
    blocks: int
    model: str | None = None
    voice: str | None = None


@dataclass(slots=True)
class Played:
    """What the listeners met, together. Seconds."""

    cached: list[float] = field(default_factory=list)  # from the request of each block to `cached`
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    refused: int = 0  # blocks that were told to come back, and did
    errors: Counter[str] = field(default_factory=Counter)  # by code

    @property
    def rate(self) -> float:
        """Blocks per second."""
        return len(self.cached) / self.seconds

    def milliseconds(self, percent: int) -> float:
        if len(self.cached) < 2:
            return 1000 * sum(self.cached)
        return 1000 * quantiles(self.cached, n=100, method="inclusive")[percent - 1]

    @property
    def cpu_ms(self) -> float:
        """Of the generator, per block."""
        return 1000 * self.cpu_seconds / max(1, len(self.cached))


# --- As much of the protocol as is needed ---------------------------------------------------------------


class _Status(msgspec.Struct, tag="status"):
    block_idx: int
    status: str
    code: str | None = None


class _Statuses(msgspec.Struct, tag="statuses"):
    statuses: list[_Status]


class _Evicted(msgspec.Struct, tag="evicted"):
    pass


class _Error(msgspec.Struct, tag="error"):
    code: str
    block_indices: list[int] | None = None
    retry_after: float | None = None


class _Request(msgspec.Struct, tag="synthesize", omit_defaults=True):
    document_id: str
    block_indices: list[int]
    model: str | None = None
    voice: str | None = None


_decode = msgspec.json.Decoder(_Status | _Statuses | _Evicted | _Error).decode
_encode = msgspec.json.Encoder().encode
BATCHED = b'{"type":"options","batched":true}'


class _Player:
    """One listener: asks for `at_once` blocks, and when all of them have ended for the next."""

    def __init__(self, listener: Listener, at_once: int, played: Played) -> None:
        self.listener, self.at_once, self.played = listener, at_once, played
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.socket: ThinSocket | None = None
        self._asked: dict[int, float] = {}
        self._next = 0

    async def connect(self, url: str, *, is_batched: bool) -> None:
        self.socket = await ThinSocket.open(url, self.listener.token, self._on_text, self._on_close)
        if is_batched:
            self._send(BATCHED)

    def ask_for_more(self) -> None:
        until = min(self._next + self.at_once, self.listener.blocks)
        if until == self._next:
            self._end()
            return
        indices = list(range(self._next, until))
        self._asked = dict.fromkeys(indices, time.perf_counter())
        self._next = until
        self._ask(indices)

    def _ask(self, indices: list[int]) -> None:
        who = self.listener
        self._send(_encode(_Request(who.document_id, indices, who.model, who.voice)))

    def _send(self, text: bytes) -> None:
        if self.socket and not self.done.done():
            self.socket.send(text)

    def _on_text(self, text: memoryview) -> None:
        frame = _decode(text)
        if isinstance(frame, _Status):
            self._on_status(frame)
        elif isinstance(frame, _Statuses):
            for status in frame.statuses:
                self._on_status(status)
        elif isinstance(frame, _Error):
            self._turned_away(frame.code, frame.block_indices or list(self._asked), frame.retry_after)

    def _on_status(self, status: _Status) -> None:
        if status.status == "queued":
            return
        if status.status == "error" and status.code in COME_BACK:
            self._turned_away(status.code, [status.block_idx], None)
            return
        asked_at = self._asked.pop(status.block_idx, None)
        if asked_at is None:
            return
        if status.status == "cached":
            self.played.cached.append(time.perf_counter() - asked_at)
        else:
            self.played.errors[status.code or status.status] += 1
        if not self._asked:
            self.ask_for_more()

    def _turned_away(self, code: str, indices: list[int], retry_after: float | None) -> None:
        if code not in COME_BACK:
            self._end(RuntimeError(f"refused: {code}"))
            return
        self.played.refused += len(indices)
        asyncio.get_running_loop().call_later(retry_after or COME_BACK_SECONDS, self._ask, indices)

    def _on_close(self, code: int) -> None:
        self._end(ConnectionError(f"closed with {code}"))

    def _end(self, reason: Exception | None = None) -> None:
        if not self.done.done():
            self.done.set_exception(reason) if reason else self.done.set_result(None)


async def hurry(
    url: str,
    listeners: Sequence[Listener],
    *,
    at_once: int = 8,
    is_batched: bool = False,
    within: float = 120.0,
) -> Played:
    """All blocks of all listeners as fast as they come, `at_once` at a time, without fetching the audio.

    The clock runs from when all are connected until the last has its last block. Raises TimeoutError,
    ConnectionError or RuntimeError when that cannot be.
    """
    played = Played()
    players = [_Player(listener, at_once, played) for listener in listeners]
    try:
        async with asyncio.timeout(within):
            await _connect_all(url, players, is_batched=is_batched)
            begun, cpu = time.perf_counter(), time.process_time()
            for player in players:
                player.ask_for_more()
            await asyncio.gather(*(player.done for player in players))
            played.seconds = time.perf_counter() - begun
            played.cpu_seconds = time.process_time() - cpu
    finally:
        await _close_all(players)
    return played


async def _connect_all(url: str, players: Sequence[_Player], *, is_batched: bool) -> None:
    few = asyncio.Semaphore(CONNECTING)

    async def connect(player: _Player) -> None:
        async with few:
            await player.connect(url, is_batched=is_batched)

    await asyncio.gather(*map(connect, players))


async def _close_all(players: Sequence[_Player]) -> None:
    for player in players:
        player.done.cancel()
    await asyncio.gather(*(player.socket.close() for player in players if player.socket))
