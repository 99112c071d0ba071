"""Protocols of open connections, one for each task that the notification hub carries out for them."""

from typing import Protocol

from yapit.accounts.identity import Identity


class Resyncable(Protocol):
    """Waits for blocks, and can read their states again when notifications may have been lost."""

    @property
    def is_waiting(self) -> bool: ...

    async def resync(self) -> None: ...


class Authenticated(Protocol):
    """Was opened with credentials that may be revoked."""

    @property
    def identity(self) -> Identity: ...

    async def reject(self) -> None:
        """Close the connection: its credentials are no longer valid."""


class Reconnectable(Protocol):
    """Can be moved to another process or to a renewed log-in."""

    async def ask_to_reconnect(self) -> None: ...


class SlotHolder(Protocol):
    """Counts against the number of connections of its account."""

    async def renew_slot(self) -> None: ...


class Billed(Protocol):
    """Follows the credit of the account that pays for it."""

    @property
    def billed_user_id(self) -> int | None:
        """None until it has requested something that is billed."""

    async def check_credit(self) -> None: ...


class ClientConnection(Resyncable, Authenticated, Reconnectable, SlotHolder, Protocol):
    """An open connection: a WebSocket, or an HTTP request that waits for audio."""
