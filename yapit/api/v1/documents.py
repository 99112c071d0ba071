"""/v1/documents: bring a text, list, read, rename, share, delete, and remember how far one listened."""

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
from yapit.api.http.responses import answers, conditional_answers
from yapit.api.v1 import schemas
from yapit.api.v1.public_documents import Read, public_page
from yapit.documents import LARGEST_INDEX

router = Router(tags=["documents"])


@router.post(
    "/text",
    response=answers(schemas.DocumentOut, 400, 413, 422, status=HTTPStatus.CREATED),
    summary="Make a document of a text",
)
async def create_text(request: HttpRequest, new: schemas.NewText) -> Status[schemas.DocumentOut]:
    """Markdown, or plain text with `markdown: false`. Answers when it can be listened to."""
    seen = await offload(
        documents.create_text,
        identity_of(request).user_id,
        new.content,
        title=new.title,
        markdown=new.markdown,
    )
    return Status(HTTPStatus.CREATED, schemas.DocumentOut.of(seen))


@router.get("", response=answers(schemas.DocumentList, 400), summary="List your documents")
async def list_documents(
    request: HttpRequest,
    offset: int = Query(0, ge=0, le=LARGEST_INDEX),
    limit: int = Query(50, ge=1, le=100),
) -> schemas.DocumentList:
    """Last heard or made first."""
    rows, total = await offload(documents.page_of_own, identity_of(request).user_id, offset, limit)
    return schemas.DocumentList(data=[schemas.DocumentOut.of(seen) for seen in rows], total=total)


@router.get("/{document_id}", response=answers(schemas.DocumentOut, 404), summary="Look at a document")
async def get_document(request: HttpRequest, document_id: UUID) -> schemas.DocumentOut:
    """One of yours, or a public one of which you know the id."""
    return schemas.DocumentOut.of(await offload(documents.find, document_id, identity_of(request).user_id))


@router.patch(
    "/{document_id}", response=answers(schemas.DocumentOut, 400, 404), summary="Rename or share a document"
)
async def change_document(
    request: HttpRequest, document_id: UUID, change: schemas.DocumentChange
) -> schemas.DocumentOut:
    """Fields that are left out stay as they are."""
    seen = await offload(
        documents.change,
        document_id,
        identity_of(request).user_id,
        title=change.title,
        is_public=change.is_public,
    )
    return schemas.DocumentOut.of(seen)


@router.delete("/{document_id}", response=answers(None, 404, status=204), summary="Delete a document")
async def delete_document(request: HttpRequest, document_id: UUID) -> Status[None]:
    """At once and for everyone it was shared with."""
    await offload(documents.delete, document_id, identity_of(request).user_id)
    return Status(HTTPStatus.NO_CONTENT, None)


@router.get(
    "/{document_id}/blocks",
    response=conditional_answers(schemas.BlockList, 400, 404),
    summary="Read its blocks",
)
async def list_blocks(
    request: HttpRequest,
    document_id: UUID,
    offset: int = Query(0, ge=0, le=LARGEST_INDEX),
    limit: int = Query(100, ge=1, le=500),
) -> HttpResponse:
    """The texts as they are spoken; `idx` is what a socket asks for."""
    return await _page(request, document_id, "blocks", offset, limit, _blocks)


@router.get(
    "/{document_id}/sections",
    response=conditional_answers(schemas.SectionList, 400, 404),
    summary="Read it to show it",
)
async def list_sections(
    request: HttpRequest,
    document_id: UUID,
    offset: int = Query(0, ge=0, le=LARGEST_INDEX),
    limit: int = Query(50, ge=1, le=200),
) -> HttpResponse:
    """HTML, piece by piece, and which blocks speak each piece."""
    return await _page(request, document_id, "sections", offset, limit, _sections)


async def _page(
    request: HttpRequest, document_id: UUID, part: str, offset: int, limit: int, read: Read
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
    response=answers(schemas.Position, 400, 404),
    summary="Remember how far you listened",
)
async def set_position(
    request: HttpRequest, document_id: UUID, position: schemas.NewPosition
) -> schemas.Position:
    """Each account has its own position, in public documents of others as well."""
    user_id = identity_of(request).user_id
    await offload(documents.set_position, document_id, user_id, position.block_idx)
    return schemas.Position(block_idx=position.block_idx)
