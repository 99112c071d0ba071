"""Django's handler for /v1, with API_MIDDLEWARE for its only middleware, and without its threads."""

import asyncio
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.urls import set_script_prefix
from django.utils.module_loading import import_string

from yapit.api.http import errors
from yapit.api.http.body_limit import Receive, Scope, Send

UNREADABLE = "This is no request that can be read."


class ApiHandler(ASGIHandler):
    """Nothing here leaves the event loop: a session is read by `yapit.accounts.identity`, where one counts.

    Django's own begins each request by starting a thread, which closes the connections to databases that it
    never had. Here `config.database.offload` runs what needs one, and looks after it.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        chain = convert_exception_to_response(self._get_response_async)  # type: ignore[attr-defined]
        for dotted_path in reversed(settings.API_MIDDLEWARE):
            chain = convert_exception_to_response(import_string(dotted_path)(chain))
        self._middleware_chain = chain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            set_script_prefix(get_script_prefix(scope))
            request, refusal = self.create_request(scope, body)
            if request is not None:
                await self._answer_unless_gone(request, receive, send)
            elif refusal is not None:
                await self.send_response(errors.response(refusal.status_code, UNREADABLE), send)

    async def _answer_unless_gone(self, request: HttpRequest, receive: Receive, send: Send) -> None:
        answering = asyncio.create_task(self._answer(request, send))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Whoever is gone waits for nothing any more; nor does anybody when the server is stopped.
            answering.cancel()
            leaving.cancel()
            await asyncio.wait((answering, leaving))
        for ended in (answering, leaving):
            error = None if ended.cancelled() else ended.exception()
            if error is not None and not isinstance(error, RequestAborted):
                raise error

    async def _answer(self, request: HttpRequest, send: Send) -> None:
        answer = await self.run_get_response(request)
        try:
            await self.send_response(answer, send)
        finally:
            answer.close()
