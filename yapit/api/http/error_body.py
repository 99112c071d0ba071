"""JSON body of errors under /v1, for Django views and bare ASGI applications. Pure."""

from typing import Any

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
CODES = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    429: "rate_limited",
    500: "server_error",
    503: "unavailable",
}


def body(status: int, message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Error body; `code` defaults to the general code of the status."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    code = code or CODES.get(status, kind)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
