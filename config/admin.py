"""Base classes of admin pages: read-only tables, and paginators for large tables."""

from functools import cached_property
from typing import Any, ClassVar

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import HttpRequest

SMALL_TABLE = 10_000  # rows; counted exactly


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    """Counts at most `counted_rows` rows, and offers no page behind them.

    Counting a large table takes seconds, and so does an offset far into it; a narrower filter leads there.
    """

    counted_rows = 10_000

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        # In the order of the list, which has an index: without, PostgreSQL may prefer a sequential scan.
        return rows[: self.counted_rows].count() if isinstance(rows, QuerySet) else super().count


class EstimatedPaginator(BoundedPaginator):
    """Shows PostgreSQL's estimate for a whole table, and a bounded count for filtered rows."""

    counted_rows = 10_001

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet) or rows.query.where:
            return super().count
        estimated = _estimated_rows(rows.model)
        return estimated if estimated > SMALL_TABLE else rows.count()


def _estimated_rows(model: type[Model]) -> int:
    """Row count as of the last ANALYZE; -1 before the first."""
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(model._meta.db_table)
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [table])
        return int(cursor.fetchone()[0])


class LargeTableAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """List pages that read no more rows than they show."""

    paginator: ClassVar[type[Any]] = EstimatedPaginator
    show_full_result_count = False
    sortable_by = ()  # no index would serve other orders


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Pages of tables that only processes write: no adding, changing or deleting."""

    actions: Any = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
