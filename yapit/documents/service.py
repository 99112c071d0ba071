"""Documents: creation from text, reading, renaming, sharing, playback positions and deletion.

Every function blocks, and creation takes up to a second of CPU: call them through `offload`.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, FilteredRelation, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from config.database.rows import fetch_rows
from yapit import invalidation, text
from yapit.errors import DocumentNotFound, DocumentRefused
from yapit.models import Block, Document, Playback, Section
from yapit.models.documents import MAX_TITLE
from yapit.text import clean, one_line

MAX_CONTENT = 500_000  # characters
UNTITLED = "Untitled"
ROWS_AT_ONCE = 1000
LARGEST_INDEX = 2**31 - 1  # a larger block index does not fit the column
# A document that the account may read, with its blocks from the first to the last: one row for each block,
# or one with NULL where it has no such block.
SELECT_WITH_BLOCKS = f"""
SELECT d.owner_id, d.block_count, b.index, b.text, b.pause_ms
FROM {Document._meta.db_table} d
LEFT JOIN {Block._meta.db_table} b
    ON b.document_id = d.id AND b.index BETWEEN %(first)s AND %(last)s
WHERE d.id = %(document_id)s AND (d.owner_id = %(user_id)s OR d.is_public)
"""  # noqa: S608  # our own names
ANONYMOUS = 0  # the id of no account: may read public documents only


@dataclass(frozen=True, slots=True)
class VisibleDocument:
    """A document with one account's view of it: ownership and playback position. The source is not loaded."""

    document: Document
    is_owner: bool
    block_idx: int = 0
    played_at: datetime | None = None


class BlockText(NamedTuple):
    """The text of a block, and the silence after it."""

    text: str
    pause_ms: int


# --- Creation ---------------------------------------------------------------------------------------------


def create_text(
    owner_id: int, content: str, *, title: str | None = None, markdown: bool = True
) -> VisibleDocument:
    """Create a document with its blocks and sections, in one transaction.

    Raises DocumentRefused if the text has nothing to speak.
    """
    source = clean(content)
    spoken = text.to_blocks(source, markdown=markdown)
    blocks = [unicodedata.normalize("NFC", block) for block in spoken.blocks]
    if not blocks:
        raise DocumentRefused("nothing_to_speak", "There is nothing to speak in this text.", "content")
    document = Document(
        owner_id=owner_id,
        title=_title(title) or _title(spoken.title) or UNTITLED,
        source=source,
        markdown=markdown,
        block_count=len(blocks),
        characters=sum(map(len, blocks)),
        est_duration_ms=sum(map(text.estimate_ms, blocks)),
    )
    _insert(document, blocks, spoken.pauses, spoken.sections)
    return VisibleDocument(document, is_owner=True)


def _title(given: str | None) -> str:
    return one_line(given or "").strip()[:MAX_TITLE]


@transaction.atomic
def _insert(
    document: Document, blocks: Sequence[str], pauses: Sequence[int], sections: Sequence[text.Section]
) -> None:
    document.save(force_insert=True)
    Block.objects.bulk_create(
        (
            Block(document=document, index=index, text=block, characters=len(block), pause_ms=pause)
            for index, (block, pause) in enumerate(zip(blocks, pauses, strict=True))
        ),
        batch_size=ROWS_AT_ONCE,
    )
    Section.objects.bulk_create(
        (
            Section(
                document=document,
                position=position,
                kind=section.kind,
                html=section.html,
                first_block=section.first_block,
                block_count=section.block_count,
            )
            for position, section in enumerate(sections)
        ),
        batch_size=ROWS_AT_ONCE,
    )


# --- Reading ----------------------------------------------------------------------------------------------


def blocks_for(document_id: UUID, user_id: int, indices: Iterable[int]) -> dict[int, BlockText]:
    """{index: block} of the existing blocks among `indices`, in one query.

    Raises DocumentNotFound if the document does not exist or the account may not read it.
    """
    # Django answers an `in` of an empty list without a query, so the document would seem to be missing.
    valid = [index for index in indices if 0 <= index <= LARGEST_INDEX] or [-1]
    rows = list(
        _readable(user_id)
        .filter(pk=document_id)
        .annotate(requested=FilteredRelation("blocks", condition=Q(blocks__index__in=valid)))
        .order_by()
        .values_list("requested__index", "requested__text", "requested__pause_ms")
    )
    if not rows:
        raise _missing()
    return {index: BlockText(*block) for index, *block in rows if index is not None}


@dataclass(frozen=True, slots=True)
class DocumentAccess:
    """Permission to read a document, with its owner and number of blocks."""

    owner_id: int
    block_count: int


@dataclass(frozen=True, slots=True)
class DocumentReaders:
    """The accounts that may read a document: its owner, or all."""

    owner_id: int
    is_public: bool

    def include(self, user_id: int) -> bool:
        return self.is_public or self.owner_id == user_id


def readers_of(document_ids: Iterable[UUID]) -> dict[UUID, DocumentReaders]:
    """The readers of each document that exists, in one query."""
    rows = Document.objects.filter(pk__in=list(document_ids)).order_by()
    return {
        pk: DocumentReaders(owner_id, is_public)
        for pk, owner_id, is_public in rows.values_list("pk", "owner_id", "is_public")
    }


def access(document_id: UUID, user_id: int) -> DocumentAccess:
    """Raises DocumentNotFound if the document does not exist or the account may not read it."""
    row = _readable(user_id).filter(pk=document_id).values_list("owner_id", "block_count").first()
    if row is None:
        raise _missing()
    return DocumentAccess(*row)


def access_with_blocks(
    document_id: UUID, user_id: int, first: int, last: int
) -> tuple[DocumentAccess, dict[int, BlockText]]:
    """Like `access`, with {index: block} of the blocks from `first` to `last` inclusive, in one query."""
    params = {"document_id": document_id, "user_id": user_id, "first": first, "last": last}
    rows = fetch_rows(SELECT_WITH_BLOCKS, params)
    if not rows:
        raise _missing()
    blocks = {index: BlockText(*block) for _, _, index, *block in rows if index is not None}
    return DocumentAccess(*rows[0][:2]), blocks


def blocks_between(document_id: UUID, first: int, last: int) -> dict[int, BlockText]:
    """{index: block} of the blocks from `first` to `last` inclusive. Does not check access."""
    rows = Block.objects.filter(document=document_id, index__gte=first, index__lte=last).order_by()
    return {
        index: BlockText(text, pause_ms)
        for index, text, pause_ms in rows.values_list("index", "text", "pause_ms")
    }


def find(document_id: UUID, user_id: int) -> VisibleDocument:
    """Raises DocumentNotFound, also for a private document of another account."""
    document = _as_seen_by(user_id, _readable(user_id)).filter(pk=document_id).first()
    if document is None:
        raise _missing()
    return _seen(document, user_id)


def is_public(document_id: UUID) -> bool:
    """False also for a document that does not exist."""
    return Document.objects.filter(pk=document_id, is_public=True).exists()


def page_of_own(user_id: int, offset: int, limit: int) -> tuple[list[VisibleDocument], int]:
    """A page of the account's documents, the last played or created first, and their total number."""
    own = Document.objects.filter(owner_id=user_id)
    latest = Coalesce("mine__played_at", "created").desc()
    rows = _as_seen_by(user_id, own).order_by(latest, "-id")[offset : offset + limit]
    return [_seen(document, user_id) for document in rows], own.count()


def page_of_blocks(document_id: UUID, user_id: int, offset: int, limit: int) -> tuple[list[Block], int]:
    """A page of blocks and their total number. Raises DocumentNotFound."""
    document = _skeleton(document_id, user_id)
    rows = document.blocks.filter(index__gte=offset, index__lt=offset + limit)
    return list(rows.order_by("index")), document.block_count


def page_of_sections(document_id: UUID, user_id: int, offset: int, limit: int) -> tuple[list[Section], int]:
    """A page of sections and their total number. Raises DocumentNotFound."""
    document = _skeleton(document_id, user_id)
    rows = document.sections.filter(position__gte=offset, position__lt=offset + limit)
    return list(rows.order_by("position")), document.sections.count()


def _readable(user_id: int) -> QuerySet[Document]:
    return Document.objects.filter(Q(owner_id=user_id) | Q(is_public=True))


def _skeleton(document_id: UUID, user_id: int) -> Document:
    document = _readable(user_id).filter(pk=document_id).only("block_count").first()
    if document is None:
        raise _missing()
    return document


def _as_seen_by(user_id: int, documents: QuerySet[Document]) -> QuerySet[Document]:
    mine = FilteredRelation("playbacks", condition=Q(playbacks__user=user_id))
    return (
        documents.defer("source")  # a list of titles must not load megabytes of text
        .annotate(mine=mine)
        .annotate(my_block_idx=F("mine__block_idx"), my_played_at=F("mine__played_at"))
    )


def _seen(document: Document, user_id: int) -> VisibleDocument:
    position = cast(Any, document)  # annotated by _as_seen_by
    return VisibleDocument(
        document, document.owner_id == user_id, position.my_block_idx or 0, position.my_played_at
    )


def _missing() -> DocumentNotFound:
    return DocumentNotFound("There is no such document.")


# --- Changing ---------------------------------------------------------------------------------------------


def change(
    document_id: UUID, user_id: int, *, title: str | None = None, is_public: bool | None = None
) -> VisibleDocument:
    """Rename or share one of the account's own documents; None leaves a field unchanged.

    Raises DocumentNotFound, or DocumentRefused for an empty title.
    """
    fields: dict[str, Any] = {}
    if title is not None:
        fields["title"] = _title(title)
        if not fields["title"]:
            raise DocumentRefused("invalid_request", "A title needs at least one letter.", "title")
    if is_public is not None:
        fields["is_public"] = is_public
    if fields:
        fields["updated"] = timezone.now()
        if not Document.objects.filter(pk=document_id, owner_id=user_id).update(**fields):
            raise _missing()
    seen = find(document_id, user_id)
    if fields:
        invalidation.documents_changed(document_id, is_public=seen.document.is_public or is_public is False)
    return seen


def delete(document_id: UUID, user_id: int) -> None:
    """Delete one of the account's own documents. Raises DocumentNotFound."""
    deleted, _ = Document.objects.filter(pk=document_id, owner_id=user_id).delete()
    if not deleted:
        raise _missing()
    invalidation.documents_changed(document_id)


def set_position(document_id: UUID, user_id: int, block_idx: int) -> None:
    """Store the account's playback position. Of concurrent calls the last one wins.

    Raises DocumentNotFound, or DocumentRefused for an index outside the document.
    """
    document = _skeleton(document_id, user_id)
    if block_idx >= document.block_count:
        raise DocumentRefused("invalid_request", "The document has no such block.", "block_idx")
    row = Playback(user_id=user_id, document=document, block_idx=block_idx, played_at=timezone.now())
    try:
        Playback.objects.bulk_create(
            [row],
            update_conflicts=True,
            unique_fields=["user", "document"],
            update_fields=["block_idx", "played_at"],
        )
    except IntegrityError as exc:  # deleted concurrently
        raise _missing() from exc
