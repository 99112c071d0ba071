"""A persister in a background thread, for code that waits until an order is applied."""

import contextlib
import threading
from collections.abc import Iterator

from audiocache.persister import PersistHandler
from config.streams import StreamConsumer


@contextlib.contextmanager
def persisting(redis, store) -> Iterator[None]:
    """Run a persister during the block. Its thread owns the connection of the store for writing."""
    store.disconnect_writer()
    persister, over = StreamConsumer(PersistHandler({"audio": store}, redis), redis), threading.Event()

    def run():
        while not over.wait(0.01):
            persister.run_once(wait=False)
        store.disconnect_writer()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
