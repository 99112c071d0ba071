"""What a request for audio needs from PostgreSQL and SQLite, each off the event loop."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from redis.asyncio import Redis

from audiocache import blob, orders
from audiocache.store import store_for
from config.redis_link import Link
from yapit import catalog, protocol, spoken_blocks
from yapit.catalog import SpokenAs
from yapit.jobs import Work

# SQLite reads only: nothing that waits for PostgreSQL may sit in front of them.
_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="kept-headers")

Resolved = tuple[SpokenAs, Mapping[int, Work]]


def remembered(message: protocol.Synthesize, user_id: int) -> Resolved | None:
    """The voice and the work for the blocks that exist; None where PostgreSQL has to be asked for it."""
    spoken = catalog.remembered(message.model, message.voice, user_id)
    if spoken is None:
        return None
    works = spoken_blocks.remembered(message.document_id, user_id, message.block_indices, spoken)
    return None if works is None else (spoken, works)


async def resolve(message: protocol.Synthesize, user_id: int) -> Resolved:
    """The same, asking for what is not remembered.

    Raises DocumentMissing, UnknownModel or UnknownVoice.
    """
    spoken = await catalog.aresolve(message.model, message.voice, user_id)
    return spoken, await spoken_blocks.find(message.document_id, user_id, message.block_indices, spoken)


async def kept_headers(variants: Sequence[str]) -> Mapping[str, bytes]:
    """The headers of those that SQLite has."""
    if not variants:
        return {}
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_readers, store_for("audio").headers, list(dict.fromkeys(variants)))


async def audio_of(link: Link, variant: str) -> tuple[blob.Header, bytes | memoryview] | None:
    """Where it is now: Redis first, since what leaves Redis is in SQLite by then."""
    value: Any = await link.execute("GET", f"audio:{variant}")
    if value is not None:
        with contextlib.suppress(blob.BadBlob):  # the persister finds it, too, and has it made again
            return blob.split(value)
    found = await asyncio.get_running_loop().run_in_executor(_readers, store_for("audio").get, variant)
    return (blob.header_of(found.header), found.audio) if found else None


async def touch(redis: Redis, variants: Mapping[str, bytes]) -> None:
    """What is announced must stay until it can have been fetched."""
    if variants:
        await orders.touch(redis, "audio", list(variants))
