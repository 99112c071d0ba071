"""View decorators of the pages: log-in, caching, and Content-Security-Policy."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config.serving.security_headers import content_security_policy

# Audio is played from blob: URLs, and pictures of documents may come from any host.
CONTENT_SECURITY_POLICY = content_security_policy(
    "media-src 'self' blob:", "connect-src 'self'", "img-src 'self' https: data:"
)

View = Callable[..., HttpResponseBase]


def account_page(view: View) -> View:
    """A page for reading that is not cached and, in multi-user mode, redirects to the log-in page."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if settings.MULTI_USER and not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return view(request, *args, **kwargs)

    return require_safe(never_cache(wrapped))


def with_content_security_policy(view: View) -> View:
    """Send CONTENT_SECURITY_POLICY in place of the default one."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response

    return wrapped
