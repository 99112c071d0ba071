"""Authentication of views: `auth` callables of Ninja. Always await them: a coroutine object is true."""

from typing import cast

from django.http import HttpRequest

from yapit.accounts.identity import Identity, identify_request
from yapit.errors import NotAuthenticated

ANONYMOUS = "anonymous"
WITHOUT_CREDENTIALS = frozenset({"missing_credentials", "not_authenticated"})


class RequireAccount:
    """Accepts an API key or session, or no credentials in single-user mode; see `yapit.accounts.identity`."""

    openapi_security_schema = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`yk_...`). The pages of this site use the session cookie instead, or no "
        "credentials in single-user mode; both are accepted from pages of this site only.",
    }

    async def __call__(self, request: HttpRequest) -> Identity | str:
        return await identify_request(request)


class OptionalAccount(RequireAccount):
    """Also accepts requests without credentials. Invalid credentials are still refused."""

    async def __call__(self, request: HttpRequest) -> Identity | str:
        try:
            return await identify_request(request)
        except NotAuthenticated as exc:
            if exc.code in WITHOUT_CREDENTIALS:
                return ANONYMOUS
            raise


def identity_of(request: HttpRequest) -> Identity:
    """Identity of a request that `RequireAccount` has accepted."""
    return cast(Identity, request.auth)  # type: ignore[attr-defined]


def user_id_or_none(request: HttpRequest) -> int | None:
    """User id of a request that `OptionalAccount` has accepted; None without credentials."""
    identity = request.auth  # type: ignore[attr-defined]
    return None if identity == ANONYMOUS else cast(Identity, identity).user_id
