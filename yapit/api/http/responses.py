"""What an operation may answer, for the description of the API."""

from typing import Any

from yapit.api.v1.schemas import Error

ANY_TIME = (401, 403, 503)  # not authenticated, origin refused, cannot answer right now


def answers(success: Any, *errors: int, status: int = 200) -> dict[int, Any]:
    """`success` with `status`, and the shape of errors with those that may happen."""
    return {int(status): success} | dict.fromkeys(sorted({*errors, *ANY_TIME}), Error)


def conditional_answers(success: Any, *errors: int) -> dict[int, Any]:
    """The same of what may be asked for with If-None-Match."""
    return {**answers(success, *errors), 304: None}
