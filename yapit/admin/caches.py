"""Admin page of caches: statistics, and a button that clears a cache in all processes."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from config import caching
from config.caching.figures import figures
from yapit.models import Cache


@admin.register(Cache)
class CacheAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """A single page. Its statistics are those of the web process that responds; clearing applies to all."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._clear(request, request.POST.get("name", ""))
        context = {
            **self.admin_site.each_context(request),
            "title": "Caches",
            "opts": self.opts,
            "caches": figures(),
            "may_clear": self.has_change_permission(request),
        }
        return TemplateResponse(request, "admin/yapit/cache/change_list.html", context)

    def _clear(self, request: HttpRequest, name: str) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        if name not in caching.all_caches():
            return HttpResponseBadRequest("There is no such cache.")
        if caching.clear(name):
            self.message_user(request, f"{name} is being cleared in every process.", messages.SUCCESS)
        else:
            self.message_user(request, "Redis cannot be reached right now.", messages.ERROR)
        return HttpResponseRedirect(request.path)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """There are no rows: redirect to the page."""
        return HttpResponseRedirect(reverse("admin:yapit_cache_changelist"))

    delete_view = history_view = change_view

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
