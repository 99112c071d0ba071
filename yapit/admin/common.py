"""What the pages of large and of machine-written tables have in common."""

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

COUNTED_ROWS = 10_000  # of a search or filter; the rest is not looked at
SMALL_TABLE = 10_000  # rows: counted exactly


class EstimatedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    """Says how many rows there are without reading them: counting a million takes seconds."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return super().count
        if rows.query.where:
            # In the order of the list, which has an index: without, PostgreSQL may prefer to read the table.
            return rows[: COUNTED_ROWS + 1].count()
        estimated = _estimated_rows(rows.model)
        return estimated if estimated > SMALL_TABLE else rows.count()


def _estimated_rows(model: type[Model]) -> int:
    """As of the last ANALYZE; -1 before the first."""
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(model._meta.db_table)
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [table])
        return int(cursor.fetchone()[0])


class LargeTable(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """For tables that grow with use: nothing on their pages reads more than it shows."""

    paginator = EstimatedPaginator
    show_full_result_count = False
    sortable_by = ()  # there is no index that would help


class SavesWhatWasEdited(admin.ModelAdmin):  # type: ignore[type-arg]
    def save_model(self, request: HttpRequest, obj: Any, form: "ModelForm[Any]", change: bool) -> None:
        """Others write to the row while a form is open; its other columns would go back in time."""
        if change:
            columns = {field.name for field in obj._meta.concrete_fields}
            obj.save(update_fields=[name for name in form.changed_data if name in columns])
        else:
            obj.save()


class TellsOfChanges(admin.ModelAdmin):  # type: ignore[type-arg]
    """Caches forget what is changed here."""

    def tell(self, *ids: Any) -> None:
        """Called in the transaction of the change if there is one, and after it if not."""
        raise NotImplementedError

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> LogEntry:
        # Every form ends here, once its relations are saved; that of a password comes through nothing else.
        self.tell(obj.pk)
        return super().log_change(request, obj, message)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        deleted = obj.pk
        super().delete_model(request, obj)
        self.tell(deleted)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        deleted = list(queryset.values_list("pk", flat=True))
        super().delete_queryset(request, queryset)
        self.tell(*deleted)


class MachineWritten(admin.ModelAdmin):  # type: ignore[type-arg]
    """To look at."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
