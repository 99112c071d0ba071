"""Declarations of responses and errors of operations, for the OpenAPI description."""

from typing import Any

from ninja import Field, Schema

COMMON_ERRORS = (401, 403, 503)  # not authenticated, origin refused, unavailable


class ErrorDetail(Schema):
    message: str
    type: str
    param: str | None = Field(description="The request field that caused the error.")
    code: str = Field(description="Stable code for programs.")


class Error(Schema):
    error: ErrorDetail


def responses(success: Any, *errors: int, status: int = 200) -> dict[int, Any]:
    """Response schemas by status: `success`, the given errors and the common ones."""
    return {int(status): success} | dict.fromkeys(sorted({*errors, *COMMON_ERRORS}), Error)


def conditional_responses(success: Any, *errors: int) -> dict[int, Any]:
    """As `responses`, with 304 for requests with If-None-Match."""
    return {**responses(success, *errors), 304: None}
