"""Counts of SQL statements and Redis commands, recorded by the servers."""

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
SETTLED_SECONDS = 0.3  # until the servers have logged all


@dataclass(slots=True)
class Queries:
    statements: list[str] = field(default_factory=list)
    exchanges: list[str] = field(default_factory=list)  # commands, without those of scripts


def log_statements() -> None:
    """Have PostgreSQL log all statements of new connections. Needs Django set up."""
    from django.db import connection

    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET log_min_messages = log')
        cursor.execute(f"ALTER DATABASE \"{name}\" SET log_statement = 'all'")


@contextlib.contextmanager
def recorded(stack: Stack) -> Iterator[Queries]:
    """The queries of the `with` block, complete at its end. Nothing else may use the servers meanwhile."""
    queries = Queries()
    log = stack.folder / "postgres.log"
    begun = log.stat().st_size
    with _monitored(stack, queries.exchanges):
        yield queries
        time.sleep(SETTLED_SECONDS)
    with log.open() as file:
        file.seek(begun)
        queries.statements += STATEMENT.findall(file.read())


@contextlib.contextmanager
def _monitored(stack: Stack, exchanges: list[str]) -> Iterator[None]:
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
            command = monitor.next_command()
            if command["client_type"] != "lua" and not command["command"].startswith(
                ("PING", "CLIENT", "MONITOR")
            ):
                exchanges.append(command["command"][:60])
