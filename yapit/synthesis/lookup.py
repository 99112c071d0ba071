"""Look-up of requested blocks in PostgreSQL (voices, texts) and the audio store (headers, audio)."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from audiocache import aliases, blob, orders
from audiocache.store import store_for
from config.per_loop import PerLoop
from config.redis import keys
from config.redis.multiplexed import MultiplexedConnection
from yapit import protocol
from yapit.catalog import resolution
from yapit.catalog.resolution import SpokenAs
from yapit.synthesis import block_cache
from yapit.synthesis.block_cache import BlockSpec

# For the audio store only: reads must not queue behind work that waits for PostgreSQL.
_header_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="stored-headers")
# Headers must not queue behind large audio.
_audio_readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="stored-audio")

Resolved = tuple[SpokenAs, Mapping[int, BlockSpec]]


def resolve_cached(message: protocol.Synthesize, user_id: int) -> Resolved | None:
    """Voice and specs of those blocks of a message that exist. None: PostgreSQL has to be queried."""
    spoken = resolution.resolve_cached(message.model, message.voice, user_id)
    if spoken is None:
        return None
    specs = block_cache.find_cached(message.document_id, user_id, message.block_indices, spoken)
    return None if specs is None else (spoken, specs)


async def resolve(message: protocol.Synthesize, user_id: int) -> Resolved:
    """Like `resolve_cached`, with queries for what is not cached.

    Raises DocumentNotFound, UnknownModel or UnknownVoice.
    """
    spoken = await resolution.aresolve(message.model, message.voice, user_id)
    return spoken, await block_cache.find(message.document_id, user_id, message.block_indices, spoken)


class StoredHeaders:
    """Headers of stored audio, of one event loop. Requests made during a read share the next one.

    Audio that is found will be announced, and must stay until it can be fetched: one order touches all of it.
    """

    def __init__(self) -> None:
        self._requested: list[str] = []
        self._next: asyncio.Task[Mapping[str, bytes]] | None = None
        self._last: asyncio.Task[Mapping[str, bytes]] | None = None

    async def of(self, link: MultiplexedConnection, variants: Sequence[str]) -> Mapping[str, bytes]:
        if not variants:
            return {}
        self._requested += variants
        if self._next is None:
            self._next = asyncio.create_task(self._read(link, self._last))
        headers = await asyncio.shield(self._next)
        return {variant: headers[variant] for variant in variants if variant in headers}

    async def _read(
        self, link: MultiplexedConnection, last: "asyncio.Task[Mapping[str, bytes]] | None"
    ) -> Mapping[str, bytes]:
        if last is not None:
            await asyncio.wait({last})
        requested, self._requested = dict.fromkeys(self._requested), []
        self._last, self._next = self._next, None
        loop = asyncio.get_running_loop()
        headers = await loop.run_in_executor(
            _header_readers, store_for(aliases.AUDIO).headers, list(requested)
        )
        if headers:
            await orders.touch(link, aliases.AUDIO, list(headers))
        return headers


_stored = PerLoop(StoredHeaders)


async def stored_headers(link: MultiplexedConnection, variants: Sequence[str]) -> Mapping[str, bytes]:
    """Headers of those hashes whose audio is stored."""
    return await _stored().of(link, variants)


async def audio_of(
    link: MultiplexedConnection, variant: str
) -> tuple[blob.Header, bytes | memoryview] | None:
    """Header and audio, from Redis or else from the store: audio is stored before it expires in Redis."""
    value: Any = await link.execute("GET", keys.audio(variant))
    if value is not None:
        with contextlib.suppress(blob.BadBlob):  # the persister finds the same, and enqueues the job again
            return blob.split(value)
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_audio_readers, store_for(aliases.AUDIO).get, variant)
    return (blob.header_of(found.header), found.audio) if found else None
