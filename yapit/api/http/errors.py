"""Error responses under /v1: exception handlers for Ninja, and middleware for Django's own errors."""

import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

import msgspec
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from redis.exceptions import RedisError

from yapit import errors
from yapit.api.http.error_body import body

logger = logging.getLogger(__name__)

PREFIX = "/v1/"
TOO_LARGE = "The request is larger than this server takes."

STATUS: Mapping[type[Exception], int] = {
    errors.NotAuthenticated: 401,
    errors.OriginRefused: 403,
    errors.AuthenticationUnavailable: 503,
    errors.DocumentNotFound: 404,
    errors.UnknownModel: 404,
    errors.UnknownVoice: 404,
    errors.InvalidCursor: 400,
    errors.RateLimited: 429,
    errors.KeyNotFound: 404,
    errors.TooManyKeys: 409,
    errors.LoginRequired: 403,
    errors.AccountProtected: 409,
    errors.ConfirmationRequired: 403,
}
# Status of SpeechRefused by its code; other codes are failures of the engine.
SPEECH_STATUS: Mapping[str, int] = {
    "usage_limit": 402,
    **dict.fromkeys(
        ("nothing_to_speak", "text_too_long", "bad_text", "bad_parameters", "unknown_voice"), 422
    ),
    **dict.fromkeys(("rate_limited", "too_many_connections"), 429),
    **dict.fromkeys(("busy", "unavailable", "lost", "worker_lost", "revision_mismatch", "audio_gone"), 503),
    "timeout": 504,
}
ENGINE_FAILED = 502


def response(status: int, message: str, *, code: str | None = None, param: str | None = None) -> HttpResponse:
    """Error response; `code` defaults to the general code of the status."""
    content = json.dumps(body(status, message, code=code, param=param))
    answer = HttpResponse(content, status=status, content_type="application/json")
    if status == 401:
        answer["WWW-Authenticate"] = "Bearer"
    if status == 503:
        answer["Retry-After"] = "1"
    return answer


def register(api: NinjaAPI) -> None:
    """Register the exception handlers of views and of their parameters."""
    for kind in STATUS:
        api.add_exception_handler(kind, _domain_error)
    api.add_exception_handler(errors.DocumentRefused, _document_refused)
    api.add_exception_handler(errors.SpeechRefused, _speech_refused)
    api.add_exception_handler(errors.KeyNameRefused, _name_refused)
    api.add_exception_handler(ValidationError, _invalid)
    api.add_exception_handler(RequestDataTooBig, _too_large)
    api.add_exception_handler(HttpError, _http_error)
    api.add_exception_handler(OperationalError, _unavailable)
    api.add_exception_handler(InterfaceError, _unavailable)
    api.add_exception_handler(RedisError, _unavailable)
    api.add_exception_handler(Exception, _unhandled)


def _domain_error(request: HttpRequest, exc: Any) -> HttpResponse:
    answer = response(STATUS[type(exc)], str(exc), code=exc.code)
    if isinstance(exc, errors.RateLimited):
        answer["Retry-After"] = str(exc.retry_after)
    return answer


def _document_refused(request: HttpRequest, exc: Any) -> HttpResponse:
    status = 400 if exc.code == "invalid_request" else 422
    return response(status, str(exc), code=exc.code, param=exc.param)


def _speech_refused(request: HttpRequest, exc: Any) -> HttpResponse:
    status = SPEECH_STATUS.get(exc.code, ENGINE_FAILED)
    content = body(status, str(exc), code=exc.code)
    if exc.usage is not None:
        content["error"]["usage"] = exc.usage
    answer = HttpResponse(msgspec.json.encode(content), status=status, content_type="application/json")
    if exc.retry_after is not None and status in (429, 503, 504):
        answer["Retry-After"] = str(max(1, math.ceil(exc.retry_after)))
    return answer


def _name_refused(request: HttpRequest, exc: Any) -> HttpResponse:
    return response(400, str(exc), code=exc.code, param="name")


def _invalid(request: HttpRequest, exc: Any) -> HttpResponse:
    first = exc.errors[0]
    source, *path = first["loc"]
    if source == "path":
        return response(404, "There is nothing here.")
    # The first name of a body's path is that of the view's parameter, which clients do not know.
    names = path[1:] if source == "body" else path
    param = ".".join(map(str, names)) or None
    return response(400, f"{param or source}: {first['msg']}", param=param)


def _too_large(request: HttpRequest, exc: Any) -> HttpResponse:
    return response(413, TOO_LARGE)


def _http_error(request: HttpRequest, exc: Any) -> HttpResponse:
    if isinstance(exc.__cause__, RequestDataTooBig):
        return response(413, TOO_LARGE)
    return response(exc.status_code, str(exc))


def _unavailable(request: HttpRequest, exc: Any) -> HttpResponse:
    logger.warning("database unavailable: %s", type(exc).__name__)
    return response(503, "The server cannot answer this right now. Try again.")


def _unhandled(request: HttpRequest, exc: Any) -> HttpResponse:
    # Messages of the database quote rejected values, which may be user content.
    quotes_content = isinstance(exc, DatabaseError)
    logger.error("unhandled %s", type(exc).__name__, exc_info=None if quotes_content else exc)
    return response(500, "Something went wrong on the server.")


class JsonErrors:
    """Middleware: converts Django's own errors under /v1 (no route, wrong method) to JSON."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._call_async(request)
        return as_json_error(request, cast(HttpResponseBase, self.get_response(request)))

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        return as_json_error(request, await self.get_response(request))


def as_json_error(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    """The response itself, or a JSON error in place of an HTML error page under /v1."""
    if answer.status_code < 400 or not request.path_info.startswith(PREFIX):
        return answer
    if answer.headers.get("Content-Type", "").startswith("application/json"):
        return answer
    error = response(answer.status_code, HTTPStatus(answer.status_code).phrase)
    if "Allow" in answer.headers:
        error["Allow"] = answer.headers["Allow"]
    return error
