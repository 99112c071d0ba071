"""Base classes of editable admin pages: saving of changed fields only, and cache invalidation."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest


class SaveChangedFields(admin.ModelAdmin):  # type: ignore[type-arg]
    def save_model(self, request: HttpRequest, obj: Any, form: "ModelForm[Any]", change: bool) -> None:
        """Save changed fields only: the form holds outdated values of columns that processes write."""
        if change:
            columns = {field.name for field in obj._meta.concrete_fields}
            obj.save(update_fields=[name for name in form.changed_data if name in columns])
        else:
            obj.save()


class InvalidatingAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Invalidates caches after each change."""

    def invalidate(self, *ids: Any) -> None:
        """Publish the invalidation of these rows. Called in the transaction of the change, if any."""
        raise NotImplementedError

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> LogEntry:
        # Called by every form after saving its relations, and the only hook that the password form calls.
        self.invalidate(obj.pk)
        return super().log_change(request, obj, message)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        deleted = obj.pk
        super().delete_model(request, obj)
        self.invalidate(deleted)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        deleted = list(queryset.values_list("pk", flat=True))
        super().delete_queryset(request, queryset)
        self.invalidate(*deleted)
