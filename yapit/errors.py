"""What can be the matter, named after it. `code` is API: clients act on it."""

import math


class YapitError(Exception):
    """Base of everything that this application raises on purpose."""

    code = "error"


class AuthenticationError(YapitError):
    """Nobody may be served on this connection."""


class NotAuthenticated(AuthenticationError):
    """Who is asking is unknown: no credentials, or ones that do not hold (any longer)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OriginRefused(AuthenticationError):
    """A page of another site, or a name that is not ours, is using somebody's browser."""

    code = "origin_refused"


class AuthenticationUnavailable(AuthenticationError):
    """Whether the credentials hold cannot be found out right now. Try again."""

    code = "cannot_check"


class DocumentNotFound(YapitError):
    """No such document, or not for this account: the two are not told apart."""

    code = "document_not_found"


class DocumentRefused(YapitError):
    """The text cannot become a document; `param` names the field."""

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
    """More than this account may do; it can go on after `retry_after` seconds."""

    code = "rate_limited"

    def __init__(self, retry_after: float) -> None:
        self.retry_after = max(1, math.ceil(retry_after))
        super().__init__(f"That was too often. Try again in {self.retry_after} seconds.")


class SpeechRefused(YapitError):
    """A text that is not spoken, at least not now. `code` is the socket protocol's, or the API's own."""

    def __init__(self, code: str, message: str, *, retry_after: float | None, usage: object | None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        self.usage = usage


class KeyNotFound(YapitError):
    """No such key, or not of this account: the two are not told apart."""

    code = "key_not_found"


class KeyNameRefused(YapitError):
    code = "invalid_request"


class TooManyKeys(YapitError):
    code = "too_many_keys"

    def __init__(self, limit: int) -> None:
        super().__init__(f"An account has at most {limit} keys. Revoke one first.")


class LoginRequired(YapitError):
    """This is for people; a key must not be able to do it."""

    code = "login_needed"


class AccountProtected(YapitError):
    """The server cannot do without this account."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConfirmationRequired(YapitError):
    """Whoever asks has not shown that they mean it, and that it is theirs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
