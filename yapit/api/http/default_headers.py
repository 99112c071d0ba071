"""What every answer under /v1 says even where nobody thought of it: its length, and whose it is."""

from collections.abc import Awaitable, Callable

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from yapit.api.http.http_cache import CREDENTIALS, PRIVATE

WITHOUT_BODY = (204, 304)


class CompleteAnswers:
    """Middleware. Caches may keep even a 404 that says nothing of it, and give it to somebody else."""

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = await self.get_response(request)
        if isinstance(answer, HttpResponse) and answer.status_code not in WITHOUT_BODY:
            answer.headers.setdefault("Content-Length", str(len(answer.content)))
        if "Cache-Control" not in answer.headers:
            answer["Cache-Control"] = PRIVATE
            patch_vary_headers(answer, CREDENTIALS.split(", "))
        return answer
