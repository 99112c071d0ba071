"""The pages people see: the reader, log-in and log-out, their account and keys. What they do there goes
through the API, but for passwords, which are Django's own forms.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView, redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from yapit import invalidation
from yapit.accounts.forms import LogInForm, NewPasswordForm, ThrottledForm
from yapit.web import usage_page

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


@require_safe
@never_cache
def keys(request: HttpRequest) -> HttpResponse:
    if settings.MULTI_USER and not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    return render(request, "yapit/keys.html", {"multi_user": settings.MULTI_USER, "here": "keys"})


def named_wait(form: ThrottledForm, page: HttpResponse) -> HttpResponse:
    """The page with the form's faults; where those are too many guesses, as a refusal that names the wait."""
    if form.retry_after is not None:
        page.status_code = HTTPStatus.TOO_MANY_REQUESTS
        page.headers["Retry-After"] = str(form.retry_after)
    return page


class LogIn(LoginView):
    template_name = "yapit/login.html"
    authentication_form = LogInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: Any) -> HttpResponse:
        return named_wait(form, super().form_invalid(form))


class Account(PasswordChangeView):
    """Where there are log-ins: the password, and the end of the account."""

    template_name = "yapit/account.html"
    form_class = NewPasswordForm
    success_url = "/account/?changed"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.MULTI_USER:
            return redirect("keys")
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"multi_user": True, "here": "account"}

    def form_valid(self, form: Any) -> HttpResponse:
        """This session goes on, under another cookie; the others end."""
        answer = super().form_valid(form)
        invalidation.accounts_changed(form.user.pk)
        return answer

    def form_invalid(self, form: Any) -> HttpResponse:
        return named_wait(form, super().form_invalid(form))


urlpatterns = [
    path("", with_policy(reader), name="reader"),
    path("d/<uuid:document_id>", with_policy(reader), name="document"),
    path("login/", with_policy(LogIn.as_view()), name="login"),
    path("keys/", with_policy(keys), name="keys"),
    path("account/", with_policy(never_cache(Account.as_view())), name="account"),
    path("usage/", with_policy(usage_page.usage), name="usage"),
    path("logout/", with_policy(LogoutView.as_view()), name="logout"),
]
