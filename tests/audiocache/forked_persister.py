"""Persisters that can be killed by the hundred: forked from a process that has imported everything.

`python -m tests.audiocache.forked_persister LOG` reads a kind from each line of its input, forks such a
persister, answers with its process id, and once that has ended takes the next line. Before each transaction
the hashes that it is about to store are appended to LOG as one line.
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

# Whoever is at work when five processes die is buried as the suspect; here the deaths are nobody's fault.
consumer.MAX_DELIVERIES = 10**9


class Told(SqliteStore):
    """Says what it is about to store."""

    log: int

    def write_batch(self, puts, orders, **options):
        if puts:
            os.write(self.log, (",".join(put.key.hex() for put in puts) + "\n").encode())
        return super().write_batch(puts, orders, **options)


class Torn(Told):
    """The mistake of one commit for each entry."""

    def write_batch(self, puts, orders, **options):
        if puts:
            os.write(self.log, (",".join(put.key.hex() for put in puts) + "\n").encode())
        for put in puts:
            SqliteStore.write_batch(self, [put], orders, **options)
        return SqliteStore.write_batch(self, [], [], **options)


class Hasty(PersistHandler):
    """Fault: acknowledges a batch before its commit."""

    def handle(self, batch):
        StreamConsumer(self, self.redis).acknowledge(batch.entries)
        super().handle(batch)
        return BatchResult()


KINDS = {"right": (Told, PersistHandler), "torn": (Torn, PersistHandler), "hasty": (Told, Hasty)}


def run(kind: str, log: Path) -> None:
    store_class, handler_class = KINDS[kind]
    store = store_class(settings.DATABASES["audio"]["NAME"], settings.AUDIO_LIMITS["audio"])
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
        say(str(child))
        os.waitpid(child, 0)
        say("ended")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
