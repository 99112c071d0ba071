"""Pages and their URLs: reader, log-in and log-out, account and API keys. All actions use the API, except for
forms with passwords.
"""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie

from yapit import invalidation
from yapit.accounts.forms import LogInForm, NewPasswordForm, ThrottledForm
from yapit.web import usage_page
from yapit.web.decorators import account_page, with_content_security_policy
from yapit.web.navigation import navigation


@ensure_csrf_cookie
@account_page
def reader(request: HttpRequest, document_id: UUID | None = None) -> HttpResponse:
    """The reader page. Its script loads the document through the API."""
    bootstrap = {
        "document": str(document_id) if document_id else None,
        "socket": "/v1/ws/tts",
        "model": settings.DEFAULT_MODEL,
        "icon": static("yapit/icon.svg"),
    }
    return render(request, "yapit/reader.html", {"bootstrap": bootstrap, **navigation("reader")})


@account_page
def keys(request: HttpRequest) -> HttpResponse:
    return render(request, "yapit/keys.html", navigation("keys"))


def throttled(form: ThrottledForm, page: HttpResponse) -> HttpResponse:
    """The page of an invalid form; a 429 with Retry-After if the form was refused for too many attempts."""
    if form.retry_after is not None:
        page.status_code = HTTPStatus.TOO_MANY_REQUESTS
        page.headers["Retry-After"] = str(form.retry_after)
    return page


class LoginPage(LoginView):
    template_name = "yapit/login.html"
    authentication_form = LogInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: Any) -> HttpResponse:
        return throttled(form, super().form_invalid(form))


class AccountPage(PasswordChangeView):
    """Password change, log-out and account deletion, in multi-user mode only."""

    template_name = "yapit/account.html"
    form_class = NewPasswordForm
    success_url = "/account/?changed"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.MULTI_USER:
            return redirect("keys")
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | navigation("account")

    def form_valid(self, form: Any) -> HttpResponse:
        """Django gives this session a new key and ends the others: invalidate cached identities."""
        response = super().form_valid(form)
        invalidation.accounts_changed(form.user.pk)
        return response

    def form_invalid(self, form: Any) -> HttpResponse:
        return throttled(form, super().form_invalid(form))


urlpatterns = [
    path("", with_content_security_policy(reader), name="reader"),
    path("d/<uuid:document_id>", with_content_security_policy(reader), name="document"),
    path("login/", with_content_security_policy(LoginPage.as_view()), name="login"),
    path("keys/", with_content_security_policy(keys), name="keys"),
    path("account/", with_content_security_policy(never_cache(AccountPage.as_view())), name="account"),
    path("usage/", with_content_security_policy(usage_page.usage), name="usage"),
    path("logout/", with_content_security_policy(LogoutView.as_view()), name="logout"),
]
