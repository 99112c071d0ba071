"""Many listeners in one process, and what they met. Cheap: it usually shares the cores with the server.

Each listener has a connection of its own, and no task: a frame is decoded as far as is needed here, and may
send the next request at once. `Played.cpu_seconds` is what all this took.
"""

import abc
import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from uuid import UUID

import msgspec

from yapit import protocol
from yapit.client.read_ahead import AHEAD, Reading
from yapit.client.session import COME_BACK
from yapit.load.raw_http import ThinHttp
from yapit.load.raw_socket import ThinSocket
from yapit.protocol import CursorMoved, Synthesize

COME_BACK_SECONDS = 0.25
CONNECTING = 20  # at the same time
LOOK_SECONDS = 0.5
FETCH_AHEAD = 4  # of the blocks that are ready, as the reader page does


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens to the blocks 0..blocks-1 of which document."""

    token: str
    document_id: str
    blocks: int
    model: str | None = None
    voice: str | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How they listen."""

    speed: float = 1.0
    ahead: int = AHEAD  # blocks made ready behind the one that plays
    seeks: float = 0.0  # chance of going somewhere else after a block
    fetch: bool = False  # the audio, too


@dataclass(slots=True)
class Played:
    """What the listeners met, together. Seconds."""

    cached: list[float] = field(default_factory=list)  # from the request of each block to `cached`
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    refused: int = 0  # blocks that were told to come back, and did
    errors: Counter[str] = field(default_factory=Counter)  # by code
    heard: list[float] = field(default_factory=list)  # to the first byte of audio that is fetched at once
    first: list[float] = field(default_factory=list)  # silence at the beginning and after each seeking
    underruns: int = 0  # blocks that were not there when the one before had ended
    seeks: int = 0

    @property
    def rate(self) -> float:
        """Blocks per second."""
        return len(self.cached) / self.seconds

    def milliseconds(self, percent: int) -> float:
        """From request to `cached`."""
        return 1000 * percentile(self.cached, percent)

    @property
    def cpu_ms(self) -> float:
        """Of the generator, per block."""
        return 1000 * self.cpu_seconds / max(1, len(self.cached))


def percentile(values: Sequence[float], percent: int) -> float:
    if len(values) < 2:
        return sum(values)
    return quantiles(values, n=100, method="inclusive")[percent - 1]


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
_decode_all: Callable[[memoryview], protocol.ServerMessage] = msgspec.json.Decoder(
    protocol.ServerMessage
).decode
_encode = msgspec.json.Encoder().encode
BATCHED = b'{"type":"options","batched":true}'


class _Player(abc.ABC):
    """One listener on one connection."""

    def __init__(self, listener: Listener, played: Played) -> None:
        self.listener, self.played = listener, played
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.socket: ThinSocket | None = None

    async def connect(self, url: str, *, is_batched: bool) -> None:
        self.socket = await ThinSocket.open(url, self.listener.token, self._on_text, self._on_close)
        if is_batched:
            self._send(BATCHED)

    async def close(self) -> None:
        self.done.cancel()
        if self.socket:
            await self.socket.close()

    @abc.abstractmethod
    def begin(self) -> None: ...

    @abc.abstractmethod
    def _on_text(self, text: memoryview) -> None: ...

    def _send(self, text: bytes) -> None:
        if self.socket and not self.done.done():
            self.socket.send(text)

    def _on_close(self, code: int) -> None:
        self._end(ConnectionError(f"closed with {code}"))

    def _end(self, reason: Exception | None = None) -> None:
        if not self.done.done():
            self.done.set_exception(reason) if reason else self.done.set_result(None)


class _Hurrier(_Player):
    """Asks for `at_once` blocks, and when all of them have ended for the next."""

    def __init__(self, listener: Listener, played: Played, at_once: int) -> None:
        super().__init__(listener, played)
        self._at_once = at_once
        self._asked: dict[int, float] = {}
        self._next = 0

    def begin(self) -> None:
        until = min(self._next + self._at_once, self.listener.blocks)
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
            self.begin()

    def _turned_away(self, code: str, indices: list[int], retry_after: float | None) -> None:
        if code not in COME_BACK:
            self._end(RuntimeError(f"refused: {code}"))
            return
        self.played.refused += len(indices)
        asyncio.get_running_loop().call_later(retry_after or COME_BACK_SECONDS, self._ask, indices)


class _Reader(_Player):
    """The reader page: what plays first, eight behind it, the next when a block has been heard."""

    def __init__(self, listener: Listener, played: Played, manner: Manner) -> None:
        super().__init__(listener, played)
        self._manner = manner
        self._reading = Reading(listener.blocks, ahead=manner.ahead)
        self._document_id = UUID(listener.document_id)
        self._audio: ThinHttp | None = None
        self._asked: dict[int, float] = {}
        self._unfetched: dict[int, protocol.Status] = {}  # announced, and further ahead than is fetched
        self._ready: dict[int, int] = {}  # duration in ms of what could sound now
        self._silent_since = 0.0
        self._is_playing = False
        self._is_fresh = True  # nothing was heard since the beginning, or since seeking
        self._heard = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, url: str, *, is_batched: bool) -> None:
        await super().connect(url, is_batched=is_batched)
        if self._manner.fetch:
            self._audio = await ThinHttp.open(url, self.listener.token)

    async def close(self) -> None:
        await super().close()
        for task in self._tasks:
            task.cancel()
        if self._audio:
            await self._audio.close()

    def begin(self) -> None:
        self._silent_since = time.perf_counter()
        self.look()

    def look(self) -> None:
        """Ask for what is due. Called again now and then: what was told to come back does so."""
        now = time.perf_counter()
        for wish in self._reading.wishes(now):
            for index in wish.indices:
                self._asked.setdefault(index, now)
            who, indices = self.listener, list(wish.indices)
            self._send(_encode(Synthesize(self._document_id, indices, who.model, who.voice, wish.priority)))
        for index in self._near():
            if self._audio and (status := self._unfetched.pop(index, None)):
                self._fetch(self._audio, status, None)

    def _near(self) -> range:
        return self._reading.window()[:FETCH_AHEAD]

    def _on_text(self, text: memoryview) -> None:
        message = _decode_all(text)
        match message:
            case protocol.Status():
                self._on_status(message)
            case protocol.Statuses():
                for status in message.statuses:
                    self._on_status(status)
            case protocol.Evicted():
                self._reading.evicted(message.block_indices)
            case protocol.Error(code=code) if code in COME_BACK:
                self.played.refused += len(message.block_indices or ())
                self._reading.hold(time.perf_counter() + (message.retry_after or COME_BACK_SECONDS))
                self._reading.drop(message.block_indices)
            case protocol.Error():
                self._end(RuntimeError(f"refused: {message.code}"))

    def _on_status(self, status: protocol.Status) -> None:
        now, index = time.perf_counter(), status.block_idx
        if not self._reading.receive(status, now) or not self._reading.has_ended(index):
            return
        asked_at = self._asked.pop(index, None)
        if status.status == "error":
            self.played.errors[status.code or status.status] += 1
        if status.status == "cached":
            if asked_at is not None:  # None: sought away from, and here all the same
                self.played.cached.append(now - asked_at)
            if self._audio:
                if index in self._near():
                    self._fetch(self._audio, status, asked_at or now)
                else:
                    self._unfetched[index] = status
                return
        self._now_ready(index, status.duration_ms or 0)

    def _fetch(self, audio: ThinHttp, status: protocol.Status, asked_at: float | None) -> None:
        task = asyncio.create_task(self._fetched(audio, status, asked_at))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetched(self, audio: ThinHttp, status: protocol.Status, asked_at: float | None) -> None:
        try:
            first_byte_at = await audio.get(str(status.audio_url))
            if asked_at is not None:
                self.played.heard.append(first_byte_at - asked_at)
        except OSError:
            self.played.errors["audio_not_fetched"] += 1
        self._now_ready(status.block_idx, status.duration_ms or 0)

    def _now_ready(self, index: int, duration_ms: int) -> None:
        self._ready[index] = duration_ms
        if index == self._reading.cursor and not self._is_playing:
            if self._is_fresh:
                self.played.first.append(time.perf_counter() - self._silent_since)
            self._play()

    def _play(self) -> None:
        self._is_playing, self._is_fresh = True, False
        seconds = self._ready[self._reading.cursor] / 1000 / self._manner.speed
        asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        """A block has been heard: the next, or one somewhere else."""
        self._is_playing = False
        self._heard += 1
        if self.done.done() or self._heard >= self.listener.blocks:
            self._end()
            return
        if random.random() < self._manner.seeks:  # noqa: S311  # chance, not a secret
            self._seek(random.randrange(self.listener.blocks))  # noqa: S311
        else:
            self._reading.move((self._reading.cursor + 1) % self.listener.blocks)
        self.look()
        if self._reading.cursor in self._ready:
            self._play()
        elif not self._is_fresh:
            self.played.underruns += 1

    def _seek(self, index: int) -> None:
        self.played.seeks += 1
        self._is_fresh, self._silent_since = True, time.perf_counter()
        self._asked.clear()
        if self._reading.seek(index):
            self._send(_encode(CursorMoved(self._document_id, index)))


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
    players = [_Hurrier(listener, played, at_once) for listener in listeners]
    async with asyncio.timeout(within):
        await _run(url, players, played, is_batched=is_batched)
    return played


async def play(
    url: str,
    listeners: Sequence[Listener],
    manner: Manner,
    *,
    is_batched: bool = False,
    within: float = 3600.0,
) -> Played:
    """All listeners as the reader page plays, until each has heard as many blocks as its document has.

    Raises as `hurry`.
    """
    played = Played()
    players = [_Reader(listener, played, manner) for listener in listeners]
    looking = asyncio.create_task(_look_regularly(players))
    try:
        async with asyncio.timeout(within):
            await _run(url, players, played, is_batched=is_batched)
    finally:
        looking.cancel()
    return played


async def _run(url: str, players: Sequence[_Player], played: Played, *, is_batched: bool) -> None:
    try:
        await _connect_all(url, players, is_batched=is_batched)
        begun, cpu = time.perf_counter(), time.process_time()
        for player in players:
            player.begin()
        await asyncio.gather(*(player.done for player in players))
        played.seconds = time.perf_counter() - begun
        played.cpu_seconds = time.process_time() - cpu
    finally:
        await asyncio.gather(*(player.close() for player in players))


async def _look_regularly(players: Sequence[_Reader]) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        for player in players:
            if player.socket and not player.done.done():
                player.look()


async def _connect_all(url: str, players: Sequence[_Player], *, is_batched: bool) -> None:
    few = asyncio.Semaphore(CONNECTING)

    async def connect(player: _Player) -> None:
        async with few:
            await player.connect(url, is_batched=is_batched)

    await asyncio.gather(*map(connect, players))
