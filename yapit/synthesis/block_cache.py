"""Block cache: blocks and their job specs, in pages, in the memory of each process.

PostgreSQL is queried once for the many messages that request blocks of a page, whatever the number of their
listeners. A document that is deleted or no longer shared is dropped at once, by an event.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple
from uuid import UUID

import msgspec

from billing.cost import cost
from config import caching
from config.database.offload import offload
from yapit import documents, invalidation
from yapit.catalog.resolution import SpokenAs
from yapit.documents import BlockText, DocumentAccess
from yapit.synthesis.speech_job import SpeechSpec
from yapit.variant_hash import variant_hash

PAGE = 64  # blocks
PAGES_AT_ONCE = 2  # blocks that are spread over more pages are read directly
CACHED_BYTES = 64 * 1024 * 1024
CACHED_SECONDS = 600.0
ACCESS_BYTES = 8 * 1024 * 1024
ACCESS_SECONDS = 30.0  # when the event is lost
SPEC_BYTES = 950  # without its text

_encoder = msgspec.json.Encoder(order="deterministic")


class BlockSpec(NamedTuple):
    """The job of a block in a voice, and the silence after the block."""

    job: SpeechSpec
    pause_ms: int


class BlockPage:
    """Blocks by index, and their specs in the voice that was requested last."""

    __slots__ = ("_blocks", "_specs", "_spoken")

    def __init__(self, blocks: dict[int, BlockText]) -> None:
        self._blocks = blocks
        self._spoken: SpokenAs | None = None
        self._specs: dict[int, BlockSpec] = {}

    def spec(self, index: int, spoken: SpokenAs) -> BlockSpec | None:
        """None: there is no block with this index."""
        if self._spoken is not spoken:
            if self._spoken != spoken:
                self._specs = {}
            self._spoken = spoken
        spec = self._specs.get(index)
        if spec is None and index in self._blocks:
            spec = self._specs[index] = _block_spec(self._blocks[index], spoken)
        return spec

    @property
    def size(self) -> int:
        return sum(len(block.text) * 2 + SPEC_BYTES for block in self._blocks.values())


_pages: caching.RowCache[tuple[UUID, int], BlockPage] = caching.RowCache(
    "spoken blocks",
    max_bytes=CACHED_BYTES,
    seconds=CACHED_SECONDS,
    size_of=lambda value: value.size if isinstance(value, BlockPage) else 200,
)
_access: caching.RowCache[tuple[UUID, int], DocumentAccess] = caching.RowCache(
    "document access", max_bytes=ACCESS_BYTES, seconds=ACCESS_SECONDS, size_of=lambda _: 100
)


def _is_of_document(event: str, key: tuple[UUID, int], _: object) -> bool:
    return str(key[0]) == invalidation.subject_of(event)


def _is_access_of_account(event: str, key: tuple[UUID, int], access: DocumentAccess) -> bool:
    """Access by the account, or to its documents, which are deleted with it."""
    return invalidation.subject_of(event) in (str(key[1]), str(access.owner_id))


_pages.invalidate_if_on(f"{invalidation.DOCUMENT}*", is_stale=_is_of_document)
_access.invalidate_if_on(f"{invalidation.DOCUMENT}*", is_stale=_is_of_document)
_access.invalidate_if_on(f"{invalidation.ACCOUNT}*", is_stale=_is_access_of_account)


def find_cached(
    document_id: UUID, user_id: int, indices: Sequence[int], spoken: SpokenAs
) -> Mapping[int, BlockSpec] | None:
    """Specs of those blocks that exist, by index. None: PostgreSQL has to be queried."""
    if _access.peek((document_id, user_id)) is None:
        return None
    pages = {number: _pages.peek((document_id, number)) for number in _numbers(indices)}
    if any(page is None for page in pages.values()):
        return None
    return _specs({number: page for number, page in pages.items() if page}, indices, spoken)


async def find(
    document_id: UUID, user_id: int, indices: Sequence[int], spoken: SpokenAs
) -> Mapping[int, BlockSpec]:
    """Like `find_cached`, with up to three statements for what is not cached, whatever the document's length.

    Raises DocumentNotFound when there is no such document that the account may read.
    """
    access = await _access.aread((document_id, user_id), partial(_open, indices=indices))
    existing = [index for index in indices if 0 <= index < access.block_count]
    numbers = _numbers(existing)
    if len(numbers) > PAGES_AT_ONCE:
        blocks = await offload(documents.blocks_for, document_id, user_id, existing)
        return {index: _block_spec(block, spoken) for index, block in blocks.items()}
    pages = {number: await _pages.aread((document_id, number), _read_page) for number in numbers}
    return _specs(pages, existing, spoken)


def _block_spec(block: BlockText, spoken: SpokenAs) -> BlockSpec:
    return BlockSpec(job_spec(block.text, spoken), block.pause_ms)


def job_spec(text: str, spoken: SpokenAs) -> SpeechSpec:
    """The job for a text in a voice; the text is normalized to NFC."""
    text = unicodedata.normalize("NFC", text)
    return SpeechSpec(
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
        params=_encoder.encode(spoken.parameters).decode(),
        revision=spoken.revision,
        codec=spoken.codec,
        chars=len(text),
        cost=cost(len(text), spoken.multiplier_bp),
        multiplier_bp=spoken.multiplier_bp,
        usage_type=spoken.usage_type,
    )


def _open(key: tuple[UUID, int], indices: Sequence[int]) -> DocumentAccess:
    """Read the access and, in the same statement, the page of the first block."""
    document_id, user_id = key
    number = next((index // PAGE for index in indices if 0 <= index <= documents.LARGEST_INDEX), 0)
    if _pages.peek((document_id, number)) is not None:
        return documents.access(document_id, user_id)
    first = number * PAGE
    access, blocks = documents.access_with_blocks(document_id, user_id, first, first + PAGE - 1)
    if number * PAGE < access.block_count:
        _pages.read((document_id, number), lambda _: BlockPage(blocks))
    return access


def _read_page(key: tuple[UUID, int]) -> BlockPage:
    document_id, number = key
    first = number * PAGE
    return BlockPage(documents.blocks_between(document_id, first, first + PAGE - 1))


def _numbers(indices: Sequence[int]) -> set[int]:
    return {index // PAGE for index in indices}


def _specs(
    pages: Mapping[int, BlockPage], indices: Sequence[int], spoken: SpokenAs
) -> Mapping[int, BlockSpec]:
    specs = {}
    for index in indices:
        spec = pages[index // PAGE].spec(index, spoken)
        if spec is not None:
            specs[index] = spec
    return specs
