"""What pages of machine-written tables have in common: they read no more than they show."""

from functools import cached_property
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

COUNTED_ROWS = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    """Counts so far and no farther: counting the whole ledger for "page 1 of 100,000" takes seconds.

    Nor does it turn to later pages, which would be read from the first row on; a narrower filter leads there.
    """

    @cached_property
    def count(self) -> int:
        rows = cast(QuerySet[Any], self.object_list)
        return rows[:COUNTED_ROWS].count()


class MachineWritten(admin.ModelAdmin):  # type: ignore[type-arg]
    """To look at, however long the table is."""

    actions = None
    paginator = BoundedPaginator
    show_full_result_count = False
    sortable_by: ClassVar = []  # by a column without an index, the whole table would be sorted

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
