"""Default headers of responses under /v1: Content-Length, Cache-Control and Vary."""

from collections.abc import Awaitable, Callable

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from yapit.api.http.http_cache import CREDENTIALS, PRIVATE

WITHOUT_BODY = (204, 304)


class DefaultHeaders:
    """Middleware. Without Cache-Control, shared caches may store even a 404 and serve it to other clients."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        if isinstance(response, HttpResponse) and response.status_code not in WITHOUT_BODY:
            response.headers.setdefault("Content-Length", str(len(response.content)))
        if "Cache-Control" not in response.headers:
            response["Cache-Control"] = PRIVATE
            patch_vary_headers(response, CREDENTIALS.split(", "))
        return response
