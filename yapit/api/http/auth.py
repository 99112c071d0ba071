"""Who is asking, for the views. Always awaited: a coroutine that nobody awaits is true for everyone."""

from typing import cast

from django.http import HttpRequest

from yapit.accounts.identity import Identity, identify_request
from yapit.errors import NotAuthenticated

ANYBODY = "anybody"
WITHOUT_CREDENTIALS = frozenset({"missing_credentials", "not_authenticated"})


class Account:
    """An API key, a session, or in single-user mode nothing: see `yapit.accounts.identity`."""

    openapi_security_schema = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`yk_...`). The reader's own pages use the session cookie instead, and in "
        "single-user mode nothing; both must come from this site's pages.",
    }

    async def __call__(self, request: HttpRequest) -> Identity | str:
        return await identify_request(request)


class AccountOrAnybody(Account):
    """For what is public, and more with an account. A bad key is refused all the same."""

    async def __call__(self, request: HttpRequest) -> Identity | str:
        try:
            return await identify_request(request)
        except NotAuthenticated as exc:
            if exc.code in WITHOUT_CREDENTIALS:
                return ANYBODY
            raise


def identity_of(request: HttpRequest) -> Identity:
    """Behind `Account`."""
    return cast(Identity, request.auth)  # type: ignore[attr-defined]


def user_id_or_none(request: HttpRequest) -> int | None:
    """Behind `AccountOrAnybody`."""
    found = request.auth  # type: ignore[attr-defined]
    return None if found == ANYBODY else cast(Identity, found).user_id
