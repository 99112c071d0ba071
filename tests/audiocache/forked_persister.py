"""Forks persisters for kill tests from one process that has imported everything.

`python -m tests.audiocache.forked_persister LOG` reads a kind of persister per input line, forks one, writes
its process id and, once it has ended, reads the next line. Before each transaction the persister appends the
hashes that it will store to LOG, as one line.
"""

import gc
import os
import sys
from pathlib import Path

import django

django.setup()

from django.conf import settings  # noqa: E402

from audiocache.persister import PersistHandler  # noqa: E402
from audiocache.sqlite import SqliteStore  # noqa: E402
from config.redis import clients as redis_clients  # noqa: E402
from config.streams import BatchResult, StopFlag, StreamConsumer, consumer  # noqa: E402

# Entries in hand when five processes die would become dead letters; here the kills are deliberate.
consumer.MAX_DELIVERIES = 10**9


class LoggingStore(SqliteStore):
    """A store that logs the hashes of each batch before it stores them."""

    log: int

    def write_batch(self, puts, orders, **options):
        if puts:
            os.write(self.log, (",".join(put.key.hex() for put in puts) + "\n").encode())
        return super().write_batch(puts, orders, **options)


class TornStore(LoggingStore):
    """Fault: one commit per entry."""

    def write_batch(self, puts, orders, **options):
        if puts:
            os.write(self.log, (",".join(put.key.hex() for put in puts) + "\n").encode())
        for put in puts:
            SqliteStore.write_batch(self, [put], orders, **options)
        return SqliteStore.write_batch(self, [], [], **options)


class AcknowledgedFirst(PersistHandler):
    """Fault: acknowledges a batch before its commit."""

    def handle(self, batch):
        StreamConsumer(self, self.redis).acknowledge(batch.entries)
        super().handle(batch)
        return BatchResult()


KINDS = {
    "right": (LoggingStore, PersistHandler),
    "torn": (TornStore, PersistHandler),
    "hasty": (LoggingStore, AcknowledgedFirst),
}


def run(kind: str, log: Path) -> None:
    store_class, handler_class = KINDS[kind]
    store = store_class(**settings.AUDIO_STORES["audio"]["options"])
    store.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    store.open_writer()
    redis = redis_clients.sync()
    StreamConsumer(handler_class({"audio": store}, redis), redis).run(StopFlag())


def main(log: Path) -> None:
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(line.strip(), log)
            finally:
                os._exit(1)
        write(str(child))
        os.waitpid(child, 0)
        write("ended")


def write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
