"""What a request for audio needs from PostgreSQL and SQLite, each off the event loop."""

import asyncio
import unicodedata
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from redis.asyncio import Redis

from audiocache import orders
from audiocache.store import store_for
from billing.allowance import Allowance, allowance
from billing.cost import cost
from yapit import catalog, documents, protocol
from yapit.catalog import SpokenAs
from yapit.jobs import Work
from yapit.offload import offload
from yapit.protocol import Usage
from yapit.variant_hash import variant_hash

LARGEST_INDEX = 2**31 - 1  # what the column holds

_encoder = msgspec.json.Encoder(order="deterministic")
# SQLite reads only: nothing that waits for PostgreSQL may sit in front of them.
_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="kept-headers")


async def resolve(message: protocol.Synthesize, user_id: int) -> tuple[SpokenAs, Mapping[int, str]]:
    """The voice, and the texts of the blocks that exist: one statement, however long the document.

    Raises DocumentMissing, UnknownModel or UnknownVoice.
    """
    spoken = await catalog.aresolve(message.model, message.voice, user_id)
    indices = [index for index in message.block_indices if 0 <= index <= LARGEST_INDEX]
    return spoken, await offload(documents.blocks_for, message.document_id, user_id, indices)


def work_of(text: str, spoken: SpokenAs) -> Work:
    text = unicodedata.normalize("NFC", text)
    return Work(
        hash=variant_hash(
            text,
            model=spoken.model_slug,
            voice=spoken.voice_slug,
            parameters=spoken.parameters,
            revision=spoken.revision,
            codec=spoken.codec,
        ),
        text=text,
        model=spoken.model_slug,
        voice=spoken.voice_slug,
        params=_encoder.encode(spoken.parameters),
        revision=spoken.revision,
        codec=spoken.codec,
        chars=len(text),
        cost=cost(len(text), spoken.multiplier_bp),
        multiplier_bp=spoken.multiplier_bp,
        usage_type=spoken.usage_type,
    )


async def kept_headers(variants: Sequence[str]) -> Mapping[str, bytes]:
    """The headers of those that SQLite has."""
    if not variants:
        return {}
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_readers, store_for("audio").headers, list(dict.fromkeys(variants)))


async def touch(redis: Redis, variants: Mapping[str, bytes]) -> None:
    """What is announced must stay until it can have been fetched."""
    if variants:
        await orders.touch(redis, "audio", list(variants))


async def allowance_of(user_id: int, usage_type: str) -> Allowance:
    return await offload(allowance, user_id, usage_type)


def usage_of(allowed: Allowance, available: int, requested: int) -> Usage:
    return Usage(
        available=available,
        limit=allowed.limit or 0,
        used=allowed.used,
        requested=requested,
        period_end=allowed.period_end.isoformat() if allowed.period_end else None,
    )
