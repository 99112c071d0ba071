"""Logging: structlog over the standard library. Modules use `logging.getLogger(__name__)`.

Log ids and counts. No line may contain spoken text, keys, tokens, query strings or bodies.
"""

import logging
import logging.config
import re
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, TextIO, cast
from urllib.parse import quote

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

access = logging.getLogger("access")

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

Sync = Callable[[HttpRequest], HttpResponseBase]
Async = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class CurrentStderr(logging.StreamHandler[TextIO]):
    """A handler for the current `sys.stderr`, which tests replace and close."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure(options: MutableMapping[str, Any]) -> None:
    """Django's LOGGING_CONFIG. Options: `level`, `format` (text or json), and `secrets`, to be hidden."""
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
    ]
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last = [
        *(_as_json() if options["format"] == "json" else _as_text()),
        _without_secrets(options.get("secrets")),
    ]
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": before,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"structured": formatter},
            "handlers": {"stderr": {"()": CurrentStderr, "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": _quiet(),
        }
    )


def bound(**values: str) -> AbstractContextManager[None]:
    """Add these values to every line within the block: `with bound(job_id=job.id):`."""
    return structlog.contextvars.bound_contextvars(**values)


def _as_text() -> list[structlog.typing.Processor]:
    return [
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            # The default prints local variables, which may be user content.
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _as_json() -> list[structlog.typing.Processor]:
    return [
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]


def _without_secrets(secrets: str | None) -> structlog.typing.Processor:
    """The last processor: it sees the complete line, with a secret in any part of it."""
    pattern = re.compile(secrets) if secrets else None

    def hide(logger: Any, name: str, line: Any) -> Any:
        return pattern.sub("[secret]", line) if pattern else line

    return hide


def _quiet() -> dict[str, dict[str, str]]:
    """Levels of libraries whose lines repeat ours, or contain SQL statements or URLs with queries."""
    return {
        "django.db.backends": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "django.channels.server": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "uvicorn": {"level": "WARNING"},
        "uvicorn.access": {"level": "CRITICAL"},
        "websockets": {"level": "WARNING"},
        "asyncio": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "stripe": {"level": "WARNING"},
    }


class RequestIdMiddleware:
    """Middleware: one id and one access line for each request. Synchronous and asynchronous."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Sync | Async) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._call_async(request)
        started = time.perf_counter()
        with bound(request_id=(request_id := acceptable(request.headers.get("x-request-id")))):
            response = cast(Sync, self.get_response)(request)
            return self._finish(request, response, request_id, started)

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        with bound(request_id=(request_id := acceptable(request.headers.get("x-request-id")))):
            response = await cast(Async, self.get_response)(request)
            return self._finish(request, response, request_id, started)

    def _finish(
        self, request: HttpRequest, response: HttpResponseBase, request_id: str, started: float
    ) -> HttpResponseBase:
        response["x-request-id"] = request_id
        log_access(request.method or "", request.path, response.status_code, time.perf_counter() - started)
        return response


def acceptable(given: str | None) -> str:
    """The given request id if it is safe in a header and a log line, otherwise a new one."""
    if given is not None and ACCEPTABLE_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex


def log_access(method: str, path: str, status: int, seconds: float) -> None:
    """Log one request, also of ASGI applications beside Django. Quotes the path, which may have newlines."""
    extra = {
        "method": method[:16],
        "path": quote(path)[:500],
        "status": int(status),  # Django accepts enumerations
        "ms": round(seconds * 1000, 1),
    }
    access.info("request", extra=extra)
