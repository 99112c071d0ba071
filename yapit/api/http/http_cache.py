"""Responses from cached bodies: entity tags, 304 and Cache-Control.

Django compares the entity tags as RFC 9110 describes and creates the 304.
"""

from collections.abc import Callable
from typing import cast

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from pydantic import BaseModel

from config.caching import Body
from yapit.api.http import not_modified

PUBLIC = "public, max-age=15"
PRIVATE = "private, no-cache"
CREDENTIALS = "Authorization, Cookie"
IsCurrent = Callable[[], bool]
Serve = Callable[[HttpRequest, Body, IsCurrent | None], HttpResponse]


def public(request: HttpRequest, body: Body, is_current: IsCurrent | None = None) -> HttpResponse:
    """Response that is the same for all clients.

    With `is_current`, later conditional requests are answered by `not_modified` while it returns true.
    """
    response = _response(request, body, {"Cache-Control": PUBLIC})
    if is_current is not None:
        not_modified.remember(request, response, is_current, anonymous_only=False)
    return response


def anonymous(request: HttpRequest, body: Body, is_current: IsCurrent | None = None) -> HttpResponse:
    """Response to requests without credentials; may differ with credentials. `is_current` as in `public`."""
    response = _response(request, body, {"Cache-Control": PUBLIC, "Vary": CREDENTIALS})
    if is_current is not None:
        not_modified.remember(request, response, is_current, anonymous_only=True)
    return response


def private(request: HttpRequest, body: Body) -> HttpResponse:
    """Response for one account."""
    return _response(request, body, {"Cache-Control": PRIVATE, "Vary": CREDENTIALS})


def serialized(content: BaseModel) -> bytes:
    return msgspec.json.encode(content.model_dump(mode="json"))


def _response(request: HttpRequest, body: Body, headers: dict[str, str]) -> HttpResponse:
    response = HttpResponse(
        body.data, content_type="application/json", headers={"ETag": body.etag, **headers}
    )
    return cast(HttpResponse, get_conditional_response(request, etag=body.etag, response=response))
