"""Django ASGI handler for /v1: only the middleware of API_MIDDLEWARE, and no thread per request."""

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
    """Runs requests on the event loop; cancels the view when the client disconnects.

    Django's handler sends `request_started` in a new thread for each request, to close old database
    connections that the thread does not have. Here database access goes through `config.database.offload`,
    which manages the connections of its threads. Sessions are read by `yapit.accounts.identity`.
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
                await self._respond_unless_disconnected(request, receive, send)
            elif refusal is not None:
                await self.send_response(errors.response(refusal.status_code, UNREADABLE), send)

    async def _respond_unless_disconnected(self, request: HttpRequest, receive: Receive, send: Send) -> None:
        responding = asyncio.create_task(self._respond(request, send))
        disconnecting = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((responding, disconnecting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The response is no longer needed: the client has disconnected or the server stops.
            responding.cancel()
            disconnecting.cancel()
            await asyncio.wait((responding, disconnecting))
        for task in (responding, disconnecting):
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, RequestAborted):
                raise error

    async def _respond(self, request: HttpRequest, send: Send) -> None:
        response = await self.run_get_response(request)
        try:
            await self.send_response(response, send)
        finally:
            response.close()
