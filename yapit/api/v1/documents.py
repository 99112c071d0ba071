"""/v1/documents: create, list, read, rename, share and delete documents; save the position."""

from http import HTTPStatus
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Router, Status
from ninja.params.functions import Query

from config.caching import Body
from config.database.offload import offload
from yapit import documents
from yapit.api.http import http_cache
from yapit.api.http.auth import identity_of
from yapit.api.http.responses import conditional_responses, responses
from yapit.api.v1 import schemas
from yapit.api.v1.public_documents import ReadPage, public_page
from yapit.documents import LARGEST_INDEX

router = Router(tags=["documents"])


@router.post(
    "/text",
    response=responses(schemas.DocumentOut, 400, 413, 422, status=HTTPStatus.CREATED),
    summary="Create a document from a text",
)
async def create_text(request: HttpRequest, new: schemas.NewText) -> Status[schemas.DocumentOut]:
    """The text is Markdown, or plain text with `markdown: false`. The document can be played at once."""
    document = await offload(
        documents.create_text,
        identity_of(request).user_id,
        new.content,
        title=new.title,
        markdown=new.markdown,
    )
    return Status(HTTPStatus.CREATED, schemas.DocumentOut.of(document))


@router.get("", response=responses(schemas.DocumentList, 400), summary="List your documents")
async def list_documents(
    request: HttpRequest,
    offset: int = Query(0, ge=0, le=LARGEST_INDEX),
    limit: int = Query(50, ge=1, le=100),
) -> schemas.DocumentList:
    """The most recently played or created first."""
    rows, total = await offload(documents.page_of_own, identity_of(request).user_id, offset, limit)
    return schemas.DocumentList(data=[schemas.DocumentOut.of(document) for document in rows], total=total)


@router.get("/{document_id}", response=responses(schemas.DocumentOut, 404), summary="Get a document")
async def get_document(request: HttpRequest, document_id: UUID) -> schemas.DocumentOut:
    """One of your documents, or a public one by its id."""
    return schemas.DocumentOut.of(await offload(documents.find, document_id, identity_of(request).user_id))


@router.patch(
    "/{document_id}", response=responses(schemas.DocumentOut, 400, 404), summary="Rename or share a document"
)
async def change_document(
    request: HttpRequest, document_id: UUID, change: schemas.DocumentChange
) -> schemas.DocumentOut:
    """Omitted fields are not changed."""
    document = await offload(
        documents.change,
        document_id,
        identity_of(request).user_id,
        title=change.title,
        is_public=change.is_public,
    )
    return schemas.DocumentOut.of(document)


@router.delete("/{document_id}", response=responses(None, 404, status=204), summary="Delete a document")
async def delete_document(request: HttpRequest, document_id: UUID) -> Status[None]:
    """Deletes it immediately, also for other listeners."""
    await offload(documents.delete, document_id, identity_of(request).user_id)
    return Status(HTTPStatus.NO_CONTENT, None)


@router.get(
    "/{document_id}/blocks",
    response=conditional_responses(schemas.BlockList, 400, 404),
    summary="List its blocks",
)
async def list_blocks(
    request: HttpRequest,
    document_id: UUID,
    offset: int = Query(0, ge=0, le=LARGEST_INDEX),
    limit: int = Query(100, ge=1, le=500),
) -> HttpResponse:
    """Blocks with their spoken texts; `idx` identifies a block in WebSocket messages."""
    return await _page(request, document_id, "blocks", offset, limit, _blocks)


@router.get(
    "/{document_id}/sections",
    response=conditional_responses(schemas.SectionList, 400, 404),
    summary="List its sections",
)
async def list_sections(
    request: HttpRequest,
    document_id: UUID,
    offset: int = Query(0, ge=0, le=LARGEST_INDEX),
    limit: int = Query(50, ge=1, le=200),
) -> HttpResponse:
    """Sections as HTML for display, with the blocks that speak them."""
    return await _page(request, document_id, "sections", offset, limit, _sections)


async def _page(
    request: HttpRequest, document_id: UUID, part: str, offset: int, limit: int, read: ReadPage
) -> HttpResponse:
    body = await public_page(document_id, part, offset, limit, read)
    if body is not None:
        return http_cache.public(request, body)
    page = await offload(read, document_id, identity_of(request).user_id, offset, limit)
    return http_cache.private(request, Body.of(http_cache.serialized(page)))


def _blocks(document_id: UUID, user_id: int, offset: int, limit: int) -> schemas.BlockList:
    rows, total = documents.page_of_blocks(document_id, user_id, offset, limit)
    return schemas.BlockList(data=[schemas.BlockOut.of(block) for block in rows], total=total)


def _sections(document_id: UUID, user_id: int, offset: int, limit: int) -> schemas.SectionList:
    rows, total = documents.page_of_sections(document_id, user_id, offset, limit)
    return schemas.SectionList(data=[schemas.SectionOut.of(section) for section in rows], total=total)


@router.patch(
    "/{document_id}/position",
    response=responses(schemas.Position, 400, 404),
    summary="Save your position",
)
async def set_position(
    request: HttpRequest, document_id: UUID, position: schemas.NewPosition
) -> schemas.Position:
    """Each account has its own position, also in public documents of other accounts."""
    user_id = identity_of(request).user_id
    await offload(documents.set_position, document_id, user_id, position.block_idx)
    return schemas.Position(block_idx=position.block_idx)
