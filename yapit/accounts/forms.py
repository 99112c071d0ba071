"""Log-in and password forms: Django's, with a limit on attempts."""

import math
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from redis.exceptions import RedisError

from yapit.limits import login_throttle


class ThrottledForm(forms.Form):
    """A form that counts attempts. `retry_after` is set, in seconds, after too many of them."""

    retry_after: int | None = None

    def throttle(self, username: str, address: str) -> None:
        """Count an attempt. Raises ValidationError after too many of them, or if Redis does not answer."""
        try:
            wait = login_throttle.take(username, address)
        except RedisError as exc:
            raise ValidationError("This cannot be checked right now. Try again.", code="unavailable") from exc
        if wait:
            self.retry_after = math.ceil(wait)
            raise ValidationError(
                "Too many attempts. Try again in %(seconds)s seconds.",
                code="rate_limited",
                params={"seconds": self.retry_after},
            )


class LogInForm(ThrottledForm, AuthenticationForm):
    def clean(self) -> dict[str, Any]:
        username, password = (self.cleaned_data.get(name) for name in ("username", "password"))
        if not (username and password):
            return super().clean()
        address = address_of(self.request)
        self.throttle(username, address)
        cleaned = super().clean()
        login_throttle.give_back(username, address)
        return cleaned


class AdminLogInForm(LogInForm, AdminAuthenticationForm):
    pass


class NewPasswordForm(ThrottledForm, PasswordChangeForm):
    """Change of the own password. Limited too, since an unattended browser must not allow guessing it."""

    def clean_old_password(self) -> str:
        username = self.user.get_username()
        self.throttle(username, "")
        password: str = super().clean_old_password()
        login_throttle.give_back(username, "")
        return password


def address_of(request: HttpRequest | None) -> str:
    return str(request.META.get("REMOTE_ADDR", "")) if request else ""
