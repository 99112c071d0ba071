"""The brake of a consumer: stops it before it makes dead letters of a large part of its stream.

Single bad entries become dead letters. When most of the entries are refused, the cause is a fault of the
consumer, its database or a release, and the entries are kept until it is gone.
"""

import time
from collections import deque
from collections.abc import Callable, Collection

WINDOW_SECONDS = 60.0
MOST_SOURCES = 50  # with dead letters within the window


class Braked(Exception):
    """Most of the entries were refused. Nothing was lost: they stay pending and are handled again."""


class Brake:
    """Counts the entries handled within a window, and the sources of dead letters among them.

    A source is an account or a worker, which counts once, however many of its entries are refused.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._handled: deque[tuple[float, int]] = deque()
        self._sources: dict[bytes, float] = {}  # in the order of their last dead letters
        self.is_pulled = False

    def __len__(self) -> int:
        """Batches and sources that are remembered."""
        return len(self._handled) + len(self._sources)

    def count_handled(self, entries: int) -> None:
        if not entries:
            return
        self._forget_old()
        self._handled.append((self._clock(), entries))

    def allow(self, sources: Collection[bytes]) -> None:
        """Note dead letters that are about to be written. Raises Braked instead where they are too many.

        While the brake is pulled, the entries read since then are judged alone: most of them must be good.
        """
        self._forget_old()
        refused = self._sources.keys() | set(sources)
        handled = sum(count for _, count in self._handled)
        is_too_many = self.is_pulled or len(refused) > MOST_SOURCES
        if is_too_many and 2 * len(refused) > handled:
            self.is_pulled = True
            raise Braked(f"{len(refused)} accounts or workers, of {handled} entries, would have dead letters")
        now = self._clock()
        for source in sources:
            self._sources.pop(source, None)
            self._sources[source] = now

    def try_again(self) -> None:
        """Judge the entries that are read from now on."""
        self._handled.clear()
        self._sources.clear()

    def release(self) -> None:
        self.is_pulled = False

    def _forget_old(self) -> None:
        since = self._clock() - WINDOW_SECONDS
        while self._handled and self._handled[0][0] < since:
            self._handled.popleft()
        for source, at in list(self._sources.items()):
            if at >= since:
                break
            del self._sources[source]
