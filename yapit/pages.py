"""The pages people see: the reader, log-in and log-out. Everything else they do goes through the API."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView, redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from yapit import usage_page

# Audio is played from blob: addresses. Pictures of a document may come from anywhere, as in every
# Markdown reader; nothing else may, and no script or style stands in the page itself.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "img-src 'self' https: data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)

Page = Callable[..., HttpResponseBase]


def with_policy(page: Page) -> Page:
    """Send the page with the policy that tells browsers what it may load."""

    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = page(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    return guarded


@require_safe
@never_cache
@ensure_csrf_cookie
def reader(request: HttpRequest, document_id: UUID | None = None) -> HttpResponse:
    """The reading page; which document it shows is found out by the page, through the API."""
    if settings.MULTI_USER and not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    bootstrap = {
        "document": str(document_id) if document_id else None,
        "socket": "/v1/ws/tts",
        "model": settings.DEFAULT_MODEL,
        "icon": static("yapit/icon.svg"),
    }
    context = {"bootstrap": bootstrap, "multi_user": settings.MULTI_USER}
    return render(request, "yapit/reader.html", context)


log_in = LoginView.as_view(template_name="yapit/login.html", redirect_authenticated_user=True)

urlpatterns = [
    path("", with_policy(reader), name="reader"),
    path("d/<uuid:document_id>", with_policy(reader), name="document"),
    path("login/", with_policy(log_in), name="login"),
    path("usage/", with_policy(usage_page.usage), name="usage"),
    path("logout/", with_policy(LogoutView.as_view()), name="logout"),
]
