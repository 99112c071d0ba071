"""Listeners and cached audio. Needs Django set up: import it inside a benchmark."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID, uuid4

from audiocache import blob
from benchmarks.factories import BenchmarkAccount, make_accounts, make_document, switch_on
from tests.stack import Stack
from yapit.catalog import resolution
from yapit.documents import blocks_between
from yapit.load import Listener
from yapit.models import Block, Document
from yapit.synthesis import block_cache

MODEL, VOICE = "tone", "instant"


def listeners(count: int, blocks: int) -> list[Listener]:
    """Listeners with separate accounts and documents."""
    switch_on(MODEL)
    return [listener(account, blocks) for account in make_accounts(count)]


def listener(account: BenchmarkAccount, blocks: int) -> Listener:
    texts = [f"Benchmark block number {index}, {secrets.token_hex(16)}." for index in range(blocks)]
    return Listener(account.token, make_document(account, texts), blocks, MODEL, VOICE)


def audience(accounts: Sequence[BenchmarkAccount], blocks: int) -> list[Listener]:
    """Listeners of one public document."""
    switch_on(MODEL)
    first = listener(accounts[0], blocks)
    Document.objects.filter(pk=first.document_id).update(is_public=True)
    return [replace(first, token=account.token) for account in accounts]


def with_long_document(one: Listener, blocks: int) -> Listener:
    """The listener with a new document of short blocks, so that it is within the limit on characters."""
    document = Document.objects.get(pk=one.document_id)
    document.pk, document.block_count = uuid4(), blocks
    document.save(force_insert=True)
    texts = (f"{index} {secrets.token_hex(4)}." for index in range(blocks))
    rows = [
        Block(document=document, index=i, text=text, characters=len(text)) for i, text in enumerate(texts)
    ]
    Block.objects.bulk_create(rows, batch_size=2000)
    return replace(one, document_id=str(document.pk), blocks=blocks)


def put_audio(stack: Stack, document_ids: Iterable[str], first: int = 0, last: int = 31) -> None:
    """Store audio of 1 KB in Redis, as FINALIZE does, for the blocks `first` to `last` of each document."""
    audio = secrets.token_bytes(1000)
    header = blob.header_for(audio, duration_ms=20_000, media_type="audio/ogg")
    spoken = resolution.resolve(MODEL, VOICE, 0)
    with stack.redis as redis, redis.pipeline(transaction=False) as pipe:
        for document_id in document_ids:
            for block in blocks_between(UUID(document_id), first, last).values():
                pipe.set(f"audio:{block_cache.job_spec(block.text, spoken).hash}", blob.pack(header, audio))
        pipe.execute()
