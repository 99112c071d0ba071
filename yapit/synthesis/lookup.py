"""What a request for audio needs from PostgreSQL and SQLite, each off the event loop."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from audiocache import blob, orders
from audiocache.store import store_for
from config.per_loop import PerLoop
from config.redis.multiplexed import MultiplexedConnection
from yapit import protocol
from yapit.catalog import resolution
from yapit.catalog.resolution import SpokenAs
from yapit.jobs import JobSpec
from yapit.synthesis import block_cache

# SQLite reads only: nothing that waits for PostgreSQL may sit in front of them.
_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="kept-headers")
# And no large audio in front of a question whether there is any.
_audio_readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="kept-audio")

Resolved = tuple[SpokenAs, Mapping[int, JobSpec]]


def remembered(message: protocol.Synthesize, user_id: int) -> Resolved | None:
    """The voice and the work for the blocks that exist; None where PostgreSQL has to be asked for it."""
    spoken = resolution.resolve_cached(message.model, message.voice, user_id)
    if spoken is None:
        return None
    works = block_cache.remembered(message.document_id, user_id, message.block_indices, spoken)
    return None if works is None else (spoken, works)


async def resolve(message: protocol.Synthesize, user_id: int) -> Resolved:
    """The same, asking for what is not remembered.

    Raises DocumentNotFound, UnknownModel or UnknownVoice.
    """
    spoken = await resolution.aresolve(message.model, message.voice, user_id)
    return spoken, await block_cache.find(message.document_id, user_id, message.block_indices, spoken)


class KeptHeaders:
    """The headers of what SQLite has, of one event loop. One read for all who ask while another read runs.

    What is found is to be announced, and must stay until it can have been fetched: one order says so for all.
    """

    def __init__(self) -> None:
        self._asked: list[str] = []
        self._next: asyncio.Task[Mapping[str, bytes]] | None = None
        self._last: asyncio.Task[Mapping[str, bytes]] | None = None

    async def of(self, link: MultiplexedConnection, variants: Sequence[str]) -> Mapping[str, bytes]:
        if not variants:
            return {}
        self._asked += variants
        if self._next is None:
            self._next = asyncio.create_task(self._read(link, self._last))
        found = await asyncio.shield(self._next)
        return {variant: found[variant] for variant in variants if variant in found}

    async def _read(
        self, link: MultiplexedConnection, last: "asyncio.Task[Mapping[str, bytes]] | None"
    ) -> Mapping[str, bytes]:
        if last is not None:
            await asyncio.wait({last})
        asked, self._asked = dict.fromkeys(self._asked), []
        self._last, self._next = self._next, None
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(_readers, store_for("audio").headers, list(asked))
        if found:
            await orders.touch(link, "audio", list(found))
        return found


_kept = PerLoop(KeptHeaders)


async def stored_headers(link: MultiplexedConnection, variants: Sequence[str]) -> Mapping[str, bytes]:
    return await _kept().of(link, variants)


async def audio_of(
    link: MultiplexedConnection, variant: str
) -> tuple[blob.Header, bytes | memoryview] | None:
    """Where it is now: Redis first, since what leaves Redis is in SQLite by then."""
    value: Any = await link.execute("GET", f"audio:{variant}")
    if value is not None:
        with contextlib.suppress(blob.BadBlob):  # the persister finds it, too, and has it made again
            return blob.split(value)
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_audio_readers, store_for("audio").get, variant)
    return (blob.header_of(found.header), found.audio) if found else None
