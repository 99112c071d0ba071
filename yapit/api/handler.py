"""Django's handler for /v1, with API_MIDDLEWARE for its only middleware."""

from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.utils.module_loading import import_string


class ApiHandler(ASGIHandler):
    """Nothing here leaves the event loop: a session is read by `yapit.identity`, where one counts."""

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        chain = convert_exception_to_response(self._get_response_async)  # type: ignore[attr-defined]
        for dotted_path in reversed(settings.API_MIDDLEWARE):
            chain = convert_exception_to_response(import_string(dotted_path)(chain))
        self._middleware_chain = chain
