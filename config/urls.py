"""URL configuration. Audio and WebSockets are dispatched before Django, in `config.asgi`."""

from django.contrib import admin
from django.urls import include, path

from config.observability.health import health
from yapit.api.app import api

urlpatterns = [
    path("v1/", api.urls),
    path("health", health),
    path("admin/", admin.site.urls),
    path("", include("yapit.web.pages")),
]
