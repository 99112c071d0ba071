"""What a web process asks of PostgreSQL and Redis, counted where it arrives."""

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import redis
from redis import exceptions as redis_errors

from tests.stack import Stack

STATEMENT = re.compile(r"LOG: +(?:statement|execute [^:]*): *(?:\n\t)?(\S[^\n]*)")
SETTLED_SECONDS = 0.3  # until what was asked has been written down


@dataclass(slots=True)
class Queries:
    statements: list[str] = field(default_factory=list)
    exchanges: list[str] = field(default_factory=list)  # commands; what scripts do is none


def write_down_statements() -> None:
    """In the log of PostgreSQL, for connections that are made from here on. Needs Django set up."""
    from django.db import connection

    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET log_min_messages = log')
        cursor.execute(f"ALTER DATABASE \"{name}\" SET log_statement = 'all'")


@contextlib.contextmanager
def watched(stack: Stack) -> Iterator[Queries]:
    """Filled in when the block ends. Nothing else may run meanwhile."""
    asked = Queries()
    log = stack.folder / "postgres.log"
    begun = log.stat().st_size
    with _heard(stack, asked.exchanges):
        yield asked
        time.sleep(SETTLED_SECONDS)
    with log.open() as file:
        file.seek(begun)
        asked.statements += STATEMENT.findall(file.read())


@contextlib.contextmanager
def _heard(stack: Stack, exchanges: list[str]) -> Iterator[None]:
    client = redis.Redis.from_url(stack.valkey.url)
    monitor = client.monitor()
    monitor.__enter__()
    thread = threading.Thread(target=_listen, args=(monitor, exchanges), daemon=True)
    thread.start()
    try:
        yield
    finally:
        client.connection_pool.disconnect()
        monitor.connection.disconnect()
        thread.join(5)


def _listen(monitor: redis.client.Monitor, exchanges: list[str]) -> None:
    with contextlib.suppress(redis_errors.RedisError, OSError, ValueError, AttributeError):
        while True:
            heard = monitor.next_command()
            if heard["client_type"] != "lua" and not heard["command"].startswith(
                ("PING", "CLIENT", "MONITOR")
            ):
                exchanges.append(heard["command"][:60])
