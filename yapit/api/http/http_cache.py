"""Bodies as answers to conditional requests: entity tags, 304, and who may keep them for how long.

Django compares the tags (RFC 9110: lists, weak ones, the star) and makes the 304.
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
    """The same for everybody. `is_current`: while it is, who has it hears so in front of Django."""
    answer = _answer(request, body, {"Cache-Control": PUBLIC})
    if is_current is not None:
        not_modified.remember(request, answer, is_current, is_for_anybody=False)
    return answer


def anybodys(request: HttpRequest, body: Body, is_current: IsCurrent | None = None) -> HttpResponse:
    """What anybody gets who brings no credentials; with them, there may be more."""
    answer = _answer(request, body, {"Cache-Control": PUBLIC, "Vary": CREDENTIALS})
    if is_current is not None:
        not_modified.remember(request, answer, is_current, is_for_anybody=True)
    return answer


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
