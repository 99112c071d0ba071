"""Admin pages of stored audio. Only run_persister writes the files, so actions are orders to it."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from redis.exceptions import RedisError

from audiocache import aliases, orders
from audiocache.sqlite.eviction import FREED
from audiocache.sqlite.models import Entry, Stat
from audiocache.store import store_for
from config.admin import ReadOnlyAdmin
from config.redis import clients as redis_clients

HASH_BYTES = 32
WAIT_SECONDS = 5.0  # for run_persister to apply an order


class TotalsPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    @cached_property
    def count(self) -> int:
        """The number of entries from the running totals: counting a million rows takes seconds."""
        if isinstance(self.object_list, QuerySet) and self.object_list.query.where:
            return super().count
        return sum(Stat.objects.using(aliases.AUDIO).values_list("n", flat=True))


class EntryAdmin(ReadOnlyAdmin):
    list_display = ["hash", "length", "stored", "last_used", "is_pinned"]
    readonly_fields = fields = ("hash", "length", "checksum", "stored", "last_used", "is_pinned")
    search_fields = ["key"]
    search_help_text = "A hash or its beginning"
    ordering = ["-id"]
    sortable_by = ()  # no index supports it
    actions = ("pin", "unpin", "remove")
    paginator = TotalsPaginator
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        entries = super().get_queryset(request).using(aliases.AUDIO).defer("meta")
        # A query must not create the file: its page size would be wrong.
        return entries if Path(settings.DATABASES[aliases.AUDIO]["NAME"]).exists() else entries.none()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # it would write to the file
        return actions

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        stats = store_for(aliases.AUDIO).stats()
        totals = {name: filesizeformat(getattr(stats, name)) for name in ("bytes", "pinned_bytes", "limit")}
        context = {"totals": {**totals, "entries": stats.entries}, **(extra_context or {})}
        return super().changelist_view(request, context)

    @admin.action(description="Pin: exempt from eviction", permissions=["order"])
    def pin(self, request: HttpRequest, queryset: QuerySet[Entry]) -> None:
        hashes = self._order(request, queryset, orders.pin)
        unpinned = (
            Entry.objects.using(aliases.AUDIO).filter(key__in=map(bytes.fromhex, hashes), pinned=0).count()
        )
        if unpinned:
            text = f"{unpinned} are not pinned (yet): at most half of the limit can be."
            self.message_user(request, text, messages.WARNING)

    @admin.action(description="Unpin", permissions=["order"])
    def unpin(self, request: HttpRequest, queryset: QuerySet[Entry]) -> None:
        self._order(request, queryset, orders.unpin)

    @admin.action(description="Delete: synthesized again on request", permissions=["order"])
    def remove(self, request: HttpRequest, queryset: QuerySet[Entry]) -> None:
        self._order(request, queryset, orders.delete)

    def _order(
        self, request: HttpRequest, queryset: QuerySet[Entry], send: Callable[[Any, str, list[str]], Any]
    ) -> list[str]:
        hashes = [bytes(key).hex() for key in queryset.values_list("key", flat=True)]
        try:
            with redis_clients.sync() as redis:
                is_done = orders.wait_for(redis, send(redis, aliases.AUDIO, hashes), WAIT_SECONDS)
        except RedisError as exc:
            self.message_user(request, f"Not ordered: {type(exc).__name__}.", messages.ERROR)
        else:
            outcome = "done" if is_done else "ordered; run_persister will do it as soon as it runs"
            level = messages.SUCCESS if is_done else messages.WARNING
            self.message_user(request, f"{len(hashes)} selected: {outcome}.", level)
        return hashes

    def has_order_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("audiocache.change_entry")

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
    def last_used(self, entry: Entry) -> datetime | str:
        if entry.last_access <= FREED:
            return "evicted next"
        return datetime.fromtimestamp(entry.last_access / 1000, UTC)

    @admin.display(boolean=True, description="pinned")
    def is_pinned(self, entry: Entry) -> bool:
        return bool(entry.pinned)


if aliases.AUDIO in settings.DATABASES:  # otherwise the audio is in another store
    admin.site.register(Entry, EntryAdmin)
