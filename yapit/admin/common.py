"""Base classes of admin pages whose changes caches must follow."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest


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
