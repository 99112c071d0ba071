"""The right to be a consumer of some name. A connection holds it, so whatever ends a process gives it up.

Two consumers of one name would read each other's unfinished entries and count them as delivered again, until
entries that nothing is wrong with are buried. A key with an expiry would do as well, but after a kill the
next process would wait for it.
"""

import logging
import time
from functools import cached_property
from typing import Any

from redis import Redis
from redis import exceptions as redis_errors

from config.redis import clients as redis_clients

logger = logging.getLogger(__name__)

SILENT_SECONDS = 30  # a holder that has said nothing for so long is no longer there
PATIENCE_SECONDS = 2.0  # in which a server hears that a killed predecessor is gone
INTERVAL = 0.1


class ConsumerLockTaken(Exception):
    """Another process is that consumer."""


class ConsumerLock:
    def __init__(self, name: str) -> None:
        self.name = name
        self._connection = 0

    @cached_property
    def _client(self) -> Redis:
        return redis_clients.named(f"consumer:{self.name}")  # connects, so not before it is waited for

    def take(self) -> None:
        """Raises ConsumerLockTaken. Where the server does not tell who is connected, every place is free."""
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
        """Whether the connection was lost since the last call; the place is taken again then.

        What the server acknowledged on the old one may be lost as well.
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
        us: Any = self._client.client_info()
        clients: Any = self._client.client_list(_type="normal")
        return any(
            each["name"] == us["name"]
            and int(each["db"]) == int(us["db"])
            and int(each["id"]) != int(us["id"])
            and int(each["idle"]) < SILENT_SECONDS
            for each in clients
        )
