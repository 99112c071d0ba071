"""What can go wrong for a listener. `code` is stable: the server's own, or one of those named here."""

from yapit.protocol import Usage


class ClientError(Exception):
    """Base of all."""

    code = "error"


class NotAuthenticated(ClientError):
    """The key does not hold (any longer). Trying again is pointless."""

    code = "not_authenticated"


class OriginRefused(ClientError):
    """The server does not want to be reached from there, or under that name."""

    code = "origin_refused"


class Unreachable(ClientError):
    """Nobody answered, or nobody that could be understood, for as long as the client is patient."""

    code = "unreachable"


class Refused(ClientError):
    """The server answered, and the answer is no. `retry_after` in seconds, where waiting helps."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after


class BlockFailed(ClientError):
    """One block has no audio; others may."""

    def __init__(self, code: str, message: str, index: int) -> None:
        super().__init__(message)
        self.code = code
        self.index = index


class UsageLimit(ClientError):
    """The characters of the plan are used up: nothing new is spoken. `index` of the block, if it is one."""

    code = "usage_limit"

    def __init__(self, message: str, usage: Usage | None, index: int | None = None) -> None:
        super().__init__(message)
        self.usage = usage
        self.index = index
