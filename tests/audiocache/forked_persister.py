"""Persisters that can be killed by the hundred: forked from a process that has imported everything.

`python -m tests.audiocache.forked_persister LOG` reads a kind from each line of its input, forks such a
persister, answers with its process id, and once that has ended takes the next line. Before each transaction
the hashes that it is about to store are appended to LOG as one line.
"""

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import django

django.setup()

from django.conf import settings  # noqa: E402

from audiocache.persister import PersistConsumer  # noqa: E402
from audiocache.store import AudioStore  # noqa: E402
from config.streams import consumer  # noqa: E402
from config.streams.consumer import StopFlag  # noqa: E402

# Whoever is at work when five processes die is buried as the suspect; here the deaths are nobody's fault.
consumer.MAX_DELIVERIES = 10**9


class Told(AudioStore):
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
            AudioStore.write_batch(self, [put], orders, **options)
        return AudioStore.write_batch(self, [], [], **options)


class Hasty(PersistConsumer):
    """The mistake of letting go before the commit."""

    def handle(self, events: Sequence) -> None:
        super().settle(self.held)
        super().handle(events)

    def settle(self, entries: Sequence) -> None:
        """Done already: that is the mistake."""


KINDS = {"right": (Told, PersistConsumer), "torn": (Torn, PersistConsumer), "hasty": (Told, Hasty)}


def run(kind: str, log: Path) -> None:
    store_class, consumer_class = KINDS[kind]
    store = store_class(settings.DATABASES["audio"]["NAME"], settings.AUDIO_LIMITS["audio"])
    store.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    store.open_writer()
    consumer_class({"audio": store}).run(StopFlag())


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
