"""Response cache of block and section pages of public documents, shared by all processes."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from config import caching
from config.caching import Body, TtlResponseCache
from config.database.offload import offload
from yapit import documents, invalidation
from yapit.api.http import http_cache
from yapit.api.v1 import schemas
from yapit.errors import DocumentNotFound

# Raise it with every change of the schemas: bodies that an earlier version left in Redis are then not served.
FORMAT = "2"
CACHED_SECONDS = 30.0
CACHED_BYTES = 2 * 1024 * 1024
# Only these page sizes are cached: each further size would store the whole document again.
LIMITS = frozenset({50, 100, 200, 500})

pages = TtlResponseCache("public-documents", kind="document", grace_seconds=60, refusals=(DocumentNotFound,))
_public: caching.RowCache[UUID, bool] = caching.RowCache(
    "public-document-ids", max_bytes=CACHED_BYTES, seconds=CACHED_SECONDS
)
_public.invalidate_on(f"{invalidation.DOCUMENT}*", keys=lambda event: [UUID(invalidation.subject_of(event))])

# Arguments: document id, user id, offset, limit.
ReadPage = Callable[[UUID, int, int, int], schemas.BlockList | schemas.SectionList]


async def public_page(document_id: UUID, part: str, offset: int, limit: int, read: ReadPage) -> Body | None:
    """Cached page `part` (`blocks` or `sections`); None if it is not public or not a cached page size."""
    if limit not in LIMITS or offset % limit or not await _is_public(document_id):
        return None
    key = (FORMAT, str(document_id), part, str(offset), str(limit))
    try:
        return await pages.get(key, partial(offload, _build, read, document_id, offset, limit))
    except DocumentNotFound:
        return None


async def _is_public(document_id: UUID) -> bool:
    return await _public.aread(document_id, documents.is_public)


def _build(read: ReadPage, document_id: UUID, offset: int, limit: int) -> bytes:
    page = read(document_id, documents.ANONYMOUS, offset, limit)
    if not page.data:  # past the end; unlimited offsets would fill the cache
        raise DocumentNotFound("There is no such page.")
    return http_cache.serialized(page)
