"""Registry of the event subscriptions of this process. Independent of Redis."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from config.observability import metrics

logger = logging.getLogger(__name__)

EVENTS = metrics.counter("cache_events", "Events received, by outcome", ["outcome"])


@dataclass(frozen=True, eq=False, slots=True)
class EventSubscription:
    on_event: Callable[[str], None]
    missed: Callable[[], None] | None


class Subscriptions:
    """Callbacks must be quick; they run on the event loop of the bus, and may subscribe and unsubscribe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_event: dict[str, list[EventSubscription]] = {}
        self._by_prefix: dict[str, list[EventSubscription]] = {}

    def __len__(self) -> int:
        return sum(map(len, (*self._by_event.values(), *self._by_prefix.values())))

    @property
    def patterns(self) -> set[str]:
        """The patterns with a subscription."""
        return {*self._by_event, *(f"{prefix}*" for prefix in self._by_prefix)}

    def add(
        self, pattern: str, on_event: Callable[[str], None], missed: Callable[[], None] | None = None
    ) -> Callable[[], None]:
        """Subscribe to one event, or to all with a prefix: `credit:*`. Return the function that unsubscribes.

        `missed` is called after each new subscription to Redis, since events may have been lost before.
        """
        prefix = pattern.removesuffix("*")
        if not prefix or "*" in prefix:
            raise ValueError("A pattern is an event, or its beginning and one asterisk.")
        registry = self._by_prefix if pattern.endswith("*") else self._by_event
        subscription = EventSubscription(on_event, missed)
        with self._lock:
            registry.setdefault(prefix, []).append(subscription)
        return lambda: self._remove(registry, prefix, subscription)

    def notify(self, events: Sequence[str]) -> None:
        for event in events:
            subscribed = self._subscribed_to(event)
            EVENTS.labels("delivered" if subscribed else "unknown").inc()
            for subscription in subscribed:
                _call(subscription.on_event, event)

    def notify_missed(self) -> None:
        with self._lock:
            subscriptions = list(chain(*self._by_event.values(), *self._by_prefix.values()))
        for subscription in subscriptions:
            if subscription.missed is not None:
                _call(subscription.missed)

    def _subscribed_to(self, event: str) -> list[EventSubscription]:
        with self._lock:
            found = list(self._by_event.get(event, ()))
            for prefix, subscriptions in self._by_prefix.items():
                if event.startswith(prefix):
                    found += subscriptions
        return found

    def _remove(
        self, registry: dict[str, list[EventSubscription]], prefix: str, subscription: EventSubscription
    ) -> None:
        with self._lock:
            left = [other for other in registry.get(prefix, ()) if other is not subscription]
            if left:
                registry[prefix] = left
            else:
                registry.pop(prefix, None)


def _call(callback: Callable[..., None], *event: str) -> None:
    try:
        callback(*event)
    except Exception as error:  # a fault in one cache must not keep the others from invalidating
        EVENTS.labels("failed").inc()
        logger.error("A cache event could not be handled: %s", type(error).__name__)
