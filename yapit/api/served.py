"""Bodies as answers to conditional requests: entity tags, 304, and who may keep them for how long.

Django compares the tags (RFC 9110: lists, weak ones, the star) and makes the 304.
"""

from typing import cast

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from pydantic import BaseModel

from config.caching import Body

PUBLIC = "public, max-age=15"
PRIVATE = "private, no-cache"
CREDENTIALS = "Authorization, Cookie"


def public(request: HttpRequest, body: Body) -> HttpResponse:
    """The same for everybody."""
    return _answer(request, body, {"Cache-Control": PUBLIC})


def anybodys(request: HttpRequest, body: Body) -> HttpResponse:
    """What anybody gets who brings no credentials; with them, there may be more."""
    return _answer(request, body, {"Cache-Control": PUBLIC, "Vary": CREDENTIALS})


def private(request: HttpRequest, body: Body) -> HttpResponse:
    """An account's own."""
    return _answer(request, body, {"Cache-Control": PRIVATE, "Vary": CREDENTIALS})


def serialized(answer: BaseModel) -> bytes:
    return msgspec.json.encode(answer.model_dump(mode="json"))


def _answer(request: HttpRequest, body: Body, headers: dict[str, str]) -> HttpResponse:
    response = HttpResponse(
        body.data, content_type="application/json", headers={"ETag": body.etag, **headers}
    )
    return cast(HttpResponse, get_conditional_response(request, etag=body.etag, response=response))
