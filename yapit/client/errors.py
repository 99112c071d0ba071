"""Errors of the client. `code` is stable: either the server's own or one of those defined here."""

from yapit.protocol import Usage


class ClientError(Exception):
    """Base class of all errors of the client."""

    code = "error"


class NotAuthenticated(ClientError):
    """The key is not valid, or not any longer."""

    code = "not_authenticated"


class OriginRefused(ClientError):
    """The server refuses this Origin or Host."""

    code = "origin_refused"


class Unreachable(ClientError):
    """No usable answer within the client's `patience`."""

    code = "unreachable"


class Refused(ClientError):
    """A request that the server refused. `retry_after`: seconds after which another attempt may succeed."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after


class BlockFailed(ClientError):
    """A block without audio; others are not affected."""

    def __init__(self, code: str, message: str, index: int) -> None:
        super().__init__(message)
        self.code = code
        self.index = index


class UsageLimit(ClientError):
    """The characters of the plan are used up. `index`: the refused block, for requests of blocks."""

    code = "usage_limit"

    def __init__(self, message: str, usage: Usage | None, index: int | None = None) -> None:
        super().__init__(message)
        self.usage = usage
        self.index = index
