"""Finished audio of blocks, to look at. Nothing can be changed here: only run_persister writes the files."""

from datetime import UTC, datetime
from functools import cached_property

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from audiocache import schema
from audiocache.models import Entry, Stat

ALIAS = "audio"
HASH_BYTES = 32


class TotalsPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    @cached_property
    def count(self) -> int:
        """From the running totals: counting a million entries takes seconds."""
        if isinstance(self.object_list, QuerySet) and self.object_list.query.where:
            return super().count
        return sum(Stat.objects.using(ALIAS).values_list("n", flat=True))


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    list_display = ["hash", "length", "stored", "last_used", "is_pinned"]
    readonly_fields = fields = ("hash", "length", "checksum", "stored", "last_used", "is_pinned")
    search_fields = ["key"]
    search_help_text = "A hash, or how it begins"
    ordering = ["-id"]
    sortable_by = ()  # there is no index that would help
    actions = None
    paginator = TotalsPaginator
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        entries = super().get_queryset(request).using(ALIAS).defer("meta")
        # A look must not make the file: it would get the wrong pages.
        return entries if schema.path_of(ALIAS).exists() else entries.none()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Entry], search_term: str
    ) -> tuple[QuerySet[Entry], bool]:
        if not search_term:
            return queryset, False
        try:
            lowest, highest = (bytes.fromhex(search_term.strip().ljust(2 * HASH_BYTES, end)) for end in "0f")
        except ValueError:
            return queryset.none(), False
        return queryset.filter(key__gte=lowest, key__lte=highest), False

    @admin.display
    def hash(self, entry: Entry) -> str:
        return bytes(entry.key).hex()

    @admin.display(description="size")
    def length(self, entry: Entry) -> str:
        return filesizeformat(entry.size)

    @admin.display
    def checksum(self, entry: Entry) -> str:
        return bytes(entry.sha256).hex()

    @admin.display
    def stored(self, entry: Entry) -> datetime:
        return datetime.fromtimestamp(entry.created_at / 1000, UTC)

    @admin.display(description="last access")
    def last_used(self, entry: Entry) -> datetime:
        return datetime.fromtimestamp(entry.last_access / 1000, UTC)

    @admin.display(boolean=True, description="pinned")
    def is_pinned(self, entry: Entry) -> bool:
        return bool(entry.pinned)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        return False
