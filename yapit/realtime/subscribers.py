"""Registry of subscribers by audio hash, for completion notifications."""

from collections import defaultdict
from typing import Protocol


class Subscriber(Protocol):
    def on_notification(self, variant: str, status: str, detail: bytes) -> None:
        """The job of this hash has ended. `status`: c (cached), s (skipped) or e (error)."""


class Subscribers:
    def __init__(self) -> None:
        self._by_hash: defaultdict[str, set[Subscriber]] = defaultdict(set)

    def add(self, variant: str, subscriber: Subscriber) -> None:
        self._by_hash[variant].add(subscriber)

    def remove(self, variant: str, subscriber: Subscriber) -> None:
        subscribers = self._by_hash.get(variant)
        if subscribers is not None:
            subscribers.discard(subscriber)
            if not subscribers:
                del self._by_hash[variant]

    def deliver(self, variant: str, status: str, detail: bytes) -> None:
        for subscriber in tuple(self._by_hash.get(variant, ())):
            subscriber.on_notification(variant, status, detail)
