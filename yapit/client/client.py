"""Client: creates documents and reads their audio block by block."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import msgspec

from yapit.client.errors import BlockFailed, Refused, UsageLimit
from yapit.client.events import Event, EventSession
from yapit.client.http_client import HttpClient, Response, is_audio
from yapit.client.read_ahead import AHEAD, ReadAhead
from yapit.client.session import AUDIO_URL, Session
from yapit.client.socket_session import SocketSession
from yapit.protocol import Status

KEY = re.compile(r"[!-~]+")
PATIENCE = 120.0  # seconds without a usable answer until an error is raised


@dataclass(frozen=True, slots=True)
class Document:
    id: UUID
    title: str
    block_count: int


class Word(msgspec.Struct, frozen=True, rename={"text": "t", "start": "s", "end": "e"}):
    """A word and its time, in seconds from the beginning of the block."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Block:
    """One spoken block, or with `failure` one without audio. `pause_ms`: the silence after it."""

    index: int
    duration_ms: int = 0
    words: tuple[Word, ...] = ()
    model: str | None = None
    voice: str | None = None
    failure: BlockFailed | None = None
    pause_ms: int = 0
    _audio: bytes = field(default=b"", repr=False)

    @property
    def audio(self) -> bytes:
        """The Ogg Opus file. Raises `failure` if the block has one."""
        if self.failure:
            raise self.failure
        return self._audio


@dataclass(frozen=True, slots=True)
class SynthesizedText:
    """The audio of one text."""

    hash: str  # the variant hash: the same text in the same voice has the same
    duration_ms: int
    audio: bytes = field(repr=False)


class Client:
    """An asynchronous context manager: `async with Client(url, key) as client`.

    All methods raise the errors of `yapit.client.errors`. `patience`: seconds without a usable answer until
    Unreachable is raised; until then requests are repeated.
    """

    def __init__(self, url: str, key: str, *, patience: float = PATIENCE) -> None:
        if not KEY.fullmatch(key):
            raise ValueError("not an API key: it has characters that none has, or none at all")
        self.url, self._key, self._patience = url.rstrip("/"), key, patience
        self._http = HttpClient(self.url, key, patience=patience)
        self._sessions: set[SocketSession] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections; calls in progress end with a ClientError."""
        self._http.close()
        await asyncio.gather(*(session.close() for session in tuple(self._sessions)))

    async def create_document(
        self, content: str, *, title: str | None = None, markdown: bool = True
    ) -> Document:
        body: dict[str, object] = {"content": content, "markdown": markdown}
        if title is not None:
            body["title"] = title
        return _document(await self._http.post("/v1/documents/text", body))

    async def document(self, document_id: UUID | str) -> Document:
        return _document(await self._http.get(f"/v1/documents/{_uuid(document_id)}"))

    async def speak(
        self,
        document_id: UUID | str,
        *,
        model: str | None = None,
        voice: str | None = None,
        start: int = 0,
        stop: int | None = None,
        ahead: int = AHEAD,
    ) -> AsyncIterator[Block]:
        """The blocks from `start` to `stop` in order, each with its audio; blocks without speech are omitted.

        Up to `ahead` blocks are synthesized in advance. When playing, leave `pause_ms` of silence after each
        block. Raises UsageLimit when the plan is used up; any other failed block is yielded with its
        `failure`.
        """
        stop = await self._stop(document_id, stop)
        blocks = ReadAhead(stop, start, ahead)
        async with self._session(document_id, blocks, model, voice) as session:
            for index in range(start, stop):
                await session.move(index)
                block = await self._spoken_block(session, index)
                if block is not None:
                    yield block

    async def statuses(
        self,
        document_id: UUID | str,
        *,
        model: str | None = None,
        voice: str | None = None,
        start: int = 0,
        stop: int | None = None,
    ) -> AsyncIterator[Status]:
        """The statuses of the blocks as they arrive, without audio; ends with the last terminal one."""
        stop = await self._stop(document_id, stop)
        blocks = ReadAhead(stop, start, ahead=max(0, stop - start))
        received: asyncio.Queue[Status] = asyncio.Queue()
        async with self._session(document_id, blocks, model, voice, on_status=received.put_nowait) as session:
            missing = set(range(start, stop))
            while missing:
                while received.empty():
                    await session.wait_for_message()
                status = received.get_nowait()
                if blocks.has_ended(status.block_idx):
                    missing.discard(status.block_idx)
                yield status

    async def audio(self, audio_url: str) -> bytes:
        """Fetch the `audio_url` of a status. Refused `audio_gone`: the block must be requested again."""
        if not AUDIO_URL.fullmatch(audio_url):
            raise ValueError(f"not the address of audio: {audio_url!r}")
        response = await self._http.get(audio_url)
        if not is_audio(response):
            raise Refused("audio_gone", "The audio came damaged.", status=response.status)
        return response.body

    async def synthesize(
        self, text: str, *, model: str | None = None, voice: str | None = None
    ) -> SynthesizedText:
        """Speak one text without a document. Repeated after a lost connection, it is billed once."""
        body = {"text": text, **({"model": model} if model else {}), **({"voice": voice} if voice else {})}
        response = await self._http.post("/v1/synthesize", body, is_repeatable=True)
        if not is_audio(response):
            raise Refused("bad_answer", "The server's answer is no audio.", status=response.status)
        duration = response.headers.get("x-duration-ms", "")
        return SynthesizedText(
            response.headers.get("etag", "").strip('"'),
            int(duration) if duration.isascii() and duration.isdigit() else 0,
            response.body,
        )

    async def events(self, *, documents: Iterable[UUID | str] = ()) -> AsyncIterator[Event]:
        """Changes of the account and of these documents, without end and over lost connections.

        The first event, and one after each loss, is `connected`: read the state again.
        """
        watched = list(map(_uuid, documents))
        session = EventSession(self.url, self._key, watched, patience=self._patience)
        async with self._open(session):
            async for event in session.events():
                yield event

    @contextlib.asynccontextmanager
    async def _session(
        self,
        document_id: UUID | str,
        blocks: ReadAhead,
        model: str | None,
        voice: str | None,
        **options: Any,
    ) -> AsyncIterator[Session]:
        session = Session(
            self.url,
            self._key,
            _uuid(document_id),
            blocks,
            model=model,
            voice=voice,
            patience=self._patience,
            **options,
        )
        async with self._open(session):
            yield session

    @contextlib.asynccontextmanager
    async def _open(self, session: SocketSession) -> AsyncIterator[None]:
        self._sessions.add(session)
        try:
            async with session:
                yield
        finally:
            self._sessions.discard(session)

    async def _stop(self, document_id: UUID | str, stop: int | None) -> int:
        return (await self.document(document_id)).block_count if stop is None else stop

    async def _spoken_block(self, session: Session, index: int) -> Block | None:
        while True:
            status = await session.outcome(index)
            if status.status != "cached":
                return _without_audio(status)
            try:
                return _block(status, await self.audio(str(status.audio_url)))
            except Refused as refusal:
                if refusal.status not in (200, 404):
                    raise
                failure = BlockFailed(refusal.code, str(refusal), index)
            if not await session.audio_lost(index):
                return Block(index, failure=failure)


def speak(url: str, key: str, document_id: UUID | str, **options: Any) -> Iterator[Block]:
    """Synchronous version of `Client.speak`, with the same options."""
    with asyncio.Runner() as runner, contextlib.ExitStack() as ending:
        client = Client(url, key)
        ending.callback(lambda: runner.run(client.__aexit__(None, None, None)))
        blocks = client.speak(document_id, **options)
        ending.callback(lambda: runner.run(_close(blocks)))
        while (block := runner.run(_next(blocks))) is not None:
            yield block


async def _next(blocks: AsyncIterator[Block]) -> Block | None:
    return await anext(blocks, None)


async def _close(blocks: AsyncIterator[Block]) -> None:
    await blocks.aclose()  # type: ignore[attr-defined]  # an async generator


def _uuid(document_id: UUID | str) -> UUID:
    try:
        return UUID(str(document_id))
    except ValueError:
        raise Refused("document_not_found", "This is not the id of a document.") from None


def _document(response: Response) -> Document:
    body = response.json()
    try:
        return Document(UUID(body["id"]), str(body["title"]), int(body["block_count"]))
    except (KeyError, TypeError, ValueError):
        raise Refused("bad_answer", "The server's answer is no document.", status=response.status) from None


def _block(status: Status, audio: bytes) -> Block:
    return Block(
        status.block_idx,
        duration_ms=status.duration_ms or 0,
        words=_words(status.word_timestamps),
        model=status.model_slug,
        voice=status.voice_slug,
        pause_ms=status.pause_ms or 0,
        _audio=audio,
    )


def _words(timings: str | None) -> tuple[Word, ...]:
    try:
        return msgspec.json.decode(timings or "[]", type=tuple[Word, ...])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ()  # the audio is usable without them


def _without_audio(status: Status) -> Block | None:
    if status.status == "skipped":
        return None
    message = status.error or "There is no audio for this block."
    if status.code == "usage_limit":
        raise UsageLimit(message, status.usage, status.block_idx)
    failure = BlockFailed(status.code or "error", message, status.block_idx)
    return Block(status.block_idx, model=status.model_slug, voice=status.voice_slug, failure=failure)
