"""Consumer locks: one process per consumer name. A connection holds the lock, so it ends with the process.

Two consumers of one name would read each other's pending entries and count them as delivered again, until
valid entries become dead letters. A key with an expiry would do as well, but after a kill the next process
would wait for it to expire.
"""

import logging
import time
from functools import cached_property
from typing import Any

from redis import Redis
from redis import exceptions as redis_errors

from config.redis import clients as redis_clients

logger = logging.getLogger(__name__)

SILENT_SECONDS = 30  # a connection idle for longer no longer holds the lock
PATIENCE_SECONDS = 2.0  # for the server to notice that a killed predecessor is gone
INTERVAL = 0.1


class ConsumerLockTaken(Exception):
    """Another process holds the lock of this consumer name."""


class ConsumerLock:
    """The lock of one consumer name. Taken by the first call of `is_lost`, or by `take`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._connection = 0

    @cached_property
    def _client(self) -> Redis:
        return redis_clients.named(f"consumer:{self.name}")  # connects, so only when first needed

    def take(self) -> None:
        """Raises ConsumerLockTaken. On a server that hides its connections, the lock is always free."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            self._connection = self._client.client_id()
            while self._is_held_by_another():
                if time.monotonic() > deadline:
                    raise ConsumerLockTaken(f"{self.name} runs already: give this one another --number")
                time.sleep(INTERVAL)
        except redis_errors.ConnectionError:
            raise
        except redis_errors.ResponseError as error:
            logger.warning("%s: cannot tell whether it runs already: %s", self.name, error)

    def is_lost(self) -> bool:
        """Whether the connection was lost since the last call. If so, takes the lock again.

        The server may have lost what it acknowledged on the old connection as well.
        """
        connection = self._client.client_id()
        if connection == self._connection:
            return False
        self.take()
        return True

    def close(self) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    def _is_held_by_another(self) -> bool:
        own: Any = self._client.client_info()
        clients: Any = self._client.client_list(_type="normal")
        return any(
            each["name"] == own["name"]
            and int(each["db"]) == int(own["db"])
            and int(each["id"]) != int(own["id"])
            and int(each["idle"]) < SILENT_SECONDS
            for each in clients
        )
