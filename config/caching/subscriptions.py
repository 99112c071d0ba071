"""Who in this process wants to hear of which events. Knows nothing of Redis."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from config.observability import metrics

logger = logging.getLogger(__name__)

HEARD = metrics.counter("cache_events", "Events heard, by what became of them", ["outcome"])


@dataclass(frozen=True, eq=False, slots=True)
class Subscription:
    heard: Callable[[str], None]
    missed: Callable[[], None] | None


class Subscriptions:
    """Callbacks are quick, come on the event loop that listens, and may subscribe and unsubscribe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_event: dict[str, list[Subscription]] = {}
        self._by_prefix: dict[str, list[Subscription]] = {}

    def __len__(self) -> int:
        return sum(map(len, (*self._by_event.values(), *self._by_prefix.values())))

    def add(
        self, pattern: str, heard: Callable[[str], None], missed: Callable[[], None] | None = None
    ) -> Callable[[], None]:
        """Hear of an event by its name, or of all that begin so: `credit:*`. Returns what ends it.

        `missed` is called on each new subscription to Redis: anything may have happened before.
        """
        prefix = pattern.removesuffix("*")
        if not prefix or "*" in prefix:
            raise ValueError("A pattern is an event, or its beginning and one asterisk.")
        where = self._by_prefix if pattern.endswith("*") else self._by_event
        subscription = Subscription(heard, missed)
        with self._lock:
            where.setdefault(prefix, []).append(subscription)
        return lambda: self._remove(where, prefix, subscription)

    def tell(self, events: Sequence[str]) -> None:
        for event in events:
            wanted = self._wanting(event)
            HEARD.labels("heard" if wanted else "unknown").inc()
            for subscription in wanted:
                _call(subscription.heard, event)

    def tell_missed(self) -> None:
        with self._lock:
            everyone = list(chain(*self._by_event.values(), *self._by_prefix.values()))
        for subscription in everyone:
            if subscription.missed is not None:
                _call(subscription.missed)

    def _wanting(self, event: str) -> list[Subscription]:
        with self._lock:
            wanted = list(self._by_event.get(event, ()))
            for prefix, subscribed in self._by_prefix.items():
                if event.startswith(prefix):
                    wanted += subscribed
        return wanted

    def _remove(self, where: dict[str, list[Subscription]], prefix: str, subscription: Subscription) -> None:
        with self._lock:
            left = [other for other in where.get(prefix, ()) if other is not subscription]
            if left:
                where[prefix] = left
            else:
                where.pop(prefix, None)


def _call(callback: Callable[..., None], *event: str) -> None:
    try:
        callback(*event)
    except Exception as error:  # whatever is wrong with one cache, the others must forget
        HEARD.labels("failed").inc()
        logger.error("A cache could not be told of a change: %s", type(error).__name__)
