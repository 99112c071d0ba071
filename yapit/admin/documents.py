"""Admin of documents, their blocks, sections and positions. Only title and visibility can be changed."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from config.admin import LargeTableAdmin, ReadOnlyAdmin
from yapit import invalidation
from yapit.admin.saving import InvalidatingAdmin, SaveChangedFields
from yapit.models import Block, Document, Playback, Section


def _as_id(term: str) -> UUID | None:
    try:
        return UUID(term.strip())
    except ValueError:
        return None


@admin.register(Document)
class DocumentAdmin(InvalidatingAdmin, LargeTableAdmin, SaveChangedFields):
    invalidate = staticmethod(invalidation.documents_changed)
    list_display = ["title", "owner", "is_public", "block_count", "characters", "created"]
    list_select_related = ["owner"]
    search_fields = ["id"]
    search_help_text = "Document id, or user name of the owner"
    fields = (
        *("title", "is_public", "id", "owner", "markdown", "block_count", "characters"),
        *("est_duration_ms", "created", "updated", "source"),
    )
    readonly_fields = fields[2:]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        return super().get_queryset(request).defer("source")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Document], search_term: str
    ) -> tuple[QuerySet[Document], bool]:
        if not search_term:
            return queryset, False
        document_id = _as_id(search_term)
        if document_id:
            return queryset.filter(pk=document_id), False
        return queryset.filter(owner__username=search_term.strip()), False

    def save_model(
        self, request: HttpRequest, obj: Document, form: "ModelForm[Document]", change: bool
    ) -> None:
        obj.updated = timezone.now()
        obj.save(update_fields=[*form.changed_data, "updated"])

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # created with their blocks by `yapit.documents`


class PartOfDocument(LargeTableAdmin, ReadOnlyAdmin):
    """Base of tables with many rows for each document, searched by document id."""

    search_fields = ["document"]
    search_help_text = "Document id"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        document_id = _as_id(search_term)
        return queryset.filter(document_id=document_id) if document_id else queryset.none(), False


@admin.register(Block)
class BlockAdmin(PartOfDocument):
    list_display = ["document_id", "index", "characters", "pause_ms"]
    fields = ("document", "index", "characters", "pause_ms", "text")


@admin.register(Section)
class SectionAdmin(PartOfDocument):
    list_display = ["document_id", "position", "kind", "first_block", "block_count"]
    fields = ("document", "position", "kind", "first_block", "block_count", "html")


@admin.register(Playback)
class PlaybackAdmin(PartOfDocument):
    list_display = ["id", "user_id", "document_id", "block_idx", "played_at"]
    ordering = ["-id"]
