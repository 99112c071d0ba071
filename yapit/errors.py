"""Exceptions of the product. `code` is part of the API: clients act on it."""

import math


class YapitError(Exception):
    """Base of all exceptions that the product raises."""

    code = "error"


class AuthenticationError(YapitError):
    """The connection cannot be attributed to an account."""


class NotAuthenticated(AuthenticationError):
    """Missing credentials, or ones that are invalid, expired or revoked."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OriginRefused(AuthenticationError):
    """A connection without a key from a page of another site, or to a host name that is not allowed."""

    code = "origin_refused"


class AuthenticationUnavailable(AuthenticationError):
    """The credentials cannot be checked because a database does not answer. Retry later."""

    code = "cannot_check"


class DocumentNotFound(YapitError):
    """The document does not exist or the account may not read it; the error does not say which."""

    code = "document_not_found"


class DocumentRefused(YapitError):
    """Invalid content or fields of a document; `param` names the field."""

    def __init__(self, code: str, message: str, param: str) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class UnknownModel(YapitError):
    code = "model_not_found"


class UnknownVoice(YapitError):
    code = "voice_not_found"


class InvalidCursor(YapitError):
    code = "invalid_cursor"


class RateLimited(YapitError):
    """The account has exceeded a rate limit. Retry after `retry_after` seconds."""

    code = "rate_limited"

    def __init__(self, retry_after: float) -> None:
        self.retry_after = max(1, math.ceil(retry_after))
        super().__init__(f"That was too often. Try again in {self.retry_after} seconds.")


class SpeechRefused(YapitError):
    """A text that cannot be synthesized, or not now. `code` is of the WebSocket protocol or of the API."""

    def __init__(self, code: str, message: str, *, retry_after: float | None, usage: object | None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        self.usage = usage


class KeyNotFound(YapitError):
    """The key does not exist or belongs to another account; the error does not say which."""

    code = "key_not_found"


class KeyNameRefused(YapitError):
    code = "invalid_request"


class TooManyKeys(YapitError):
    code = "too_many_keys"

    def __init__(self, limit: int) -> None:
        super().__init__(f"An account has at most {limit} keys. Revoke one first.")


class LoginRequired(YapitError):
    """The operation requires a session and cannot be done with an API key."""

    code = "login_needed"


class AccountProtected(YapitError):
    """The server needs this account, so it cannot be deleted."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConfirmationRequired(YapitError):
    """The request does not confirm the operation with a password or name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
