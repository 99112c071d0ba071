"""Changes that open connections follow: balances, preferences, voices, keys and documents.

A message of the channel layer only wakes: the epochs in Redis decide whether something has changed. Followed
epochs are compared again every EPOCH_CHECK_SECONDS, so a lost message costs time and no change is lost.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError
from redis.exceptions import RedisError

from config import caching
from config.database.offload import offload
from config.redis.multiplexed import MultiplexedConnection
from yapit import documents, invalidation
from yapit.documents import DocumentReaders
from yapit.realtime.background import BackgroundTasks
from yapit.realtime.connections import Authenticated
from yapit.realtime.groups import LayerGroups

logger = logging.getLogger(__name__)

COALESCE_SECONDS = 0.25  # between two comparisons: what changes many times within it is told once
SUBSCRIBE_SECONDS = 1.0
OUTAGES = (RedisError, OperationalError, InterfaceError)


class Follower(Authenticated, Protocol):
    """An open connection that is told of changes."""

    def on_change(self, event: str) -> None: ...

    def on_document_gone(self, document_id: UUID) -> None:
        """The account may not read it any more. It is followed no longer."""

    def on_changes_missed(self) -> None:
        """Redis was not reachable: announcements may not have been made at all."""


@dataclass(slots=True)
class FollowedEvent:
    epoch: int | None = None  # until it has been read
    followers: set[Follower] = field(default_factory=set)


class ChangeFeed:
    def __init__(self, link: MultiplexedConnection, background: BackgroundTasks) -> None:
        self._link = link
        self._background = background
        self._groups = LayerGroups(self.on_message)
        self.followed: dict[str, FollowedEvent] = {}
        self._woken: set[str] = set()
        self._wake = asyncio.Event()
        self._are_missed = False
        self._is_started = False
        self._unsubscribe: Callable[[], None] = lambda: None

    def close(self) -> None:
        """Receive no events any more. The hub ends the tasks."""
        self._unsubscribe()

    async def follow(self, follower: Follower, *events: str) -> None:
        """Return when changes from here on are told. Raises RedisError; then nothing is followed."""
        await self._start()
        added = [event for event in events if follower not in self._followers_of(event)]
        for event in added:
            self.followed.setdefault(event, FollowedEvent()).followers.add(follower)
        await self._groups.join(*_groups_of(added))
        try:
            epochs = await caching.aepochs_of(self._link, added)
        except RedisError:
            self.unfollow(follower, *added)
            raise
        for event, epoch in zip(added, epochs, strict=True):
            followed = self.followed.get(event)
            # Not replaced: others were told of the changes up to the epoch that is known.
            if followed is not None and followed.epoch is None:
                followed.epoch = epoch

    def unfollow(self, follower: Follower, *events: str) -> None:
        removed = [event for event in events if follower in self._followers_of(event)]
        for event in removed:
            followed = self.followed[event]
            followed.followers.discard(follower)
            if not followed.followers:
                del self.followed[event]
        if removed:
            self._background.spawn(self._groups.leave(*_groups_of(removed)))

    async def _start(self) -> None:
        """Begin to receive changes, with the first follower."""
        if self._is_started:
            return
        self._is_started = True
        self._background.spawn(self._groups.run())
        self._background.spawn(self._run())
        try:
            # Before `missed` is added: the first subscription of the bus is no reconnection.
            await asyncio.wait_for(caching.listen().subscribed(), SUBSCRIBE_SECONDS)
        except TimeoutError:
            logger.warning("Not subscribed to change events yet")
        self._unsubscribe = caching.subscribe(invalidation.CATALOG, _ignore, missed=self._on_missed)

    def _followers_of(self, event: str) -> set[Follower]:
        followed = self.followed.get(event)
        return followed.followers if followed is not None else set()

    def on_message(self, message: dict[str, Any]) -> None:
        """Compare the epoch of the event that a message of the layer names."""
        event = message.get("subject")
        if event in self.followed:
            self._woken.add(event)
            self._wake.set()

    def _on_missed(self) -> None:
        self._are_missed = True
        self._wake.set()

    async def _run(self) -> None:
        due = time.monotonic() + settings.EPOCH_CHECK_SECONDS
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), max(0.0, due - time.monotonic()))
            except TimeoutError:
                due = time.monotonic() + settings.EPOCH_CHECK_SECONDS
                await self._groups.join_wanted()
                self._woken.update(self.followed)
            self._wake.clear()
            woken, self._woken = self._woken, set()
            try:
                await self._compare([event for event in woken if event in self.followed])
                self._tell_missed()
            except OUTAGES as error:
                logger.warning("Changes are told later: %s", repr(error.__cause__ or error))
            await asyncio.sleep(COALESCE_SECONDS)

    async def _compare(self, events: Sequence[str]) -> None:
        """Tell the followers of events whose epoch has changed."""
        epochs = await caching.aepochs_of(self._link, events)
        changed = {
            event: epoch
            for event, epoch in zip(events, epochs, strict=True)
            if event in self.followed and self.followed[event].epoch not in (None, epoch)
        }
        readers = await self._readers(changed)
        for event, epoch in changed.items():
            followed = self.followed.get(event)
            if followed is None:
                continue
            followed.epoch = epoch
            for follower in tuple(followed.followers):
                self._tell(follower, event, readers)

    async def _readers(self, events: Iterable[str]) -> dict[UUID, DocumentReaders]:
        ids = [_document_of(event) for event in events if event.startswith(invalidation.DOCUMENT)]
        return await offload(documents.readers_of, ids) if ids else {}

    def _tell(self, follower: Follower, event: str, readers: dict[UUID, DocumentReaders]) -> None:
        if event.startswith(invalidation.DOCUMENT):
            document_id = _document_of(event)
            allowed = readers.get(document_id)
            if allowed is None or not allowed.include(follower.identity.user_id):
                self.unfollow(follower, event)
                follower.on_document_gone(document_id)
                return
        follower.on_change(event)

    def _tell_missed(self) -> None:
        if self._are_missed:
            self._are_missed = False
            for follower in {one for followed in self.followed.values() for one in followed.followers}:
                follower.on_changes_missed()


def _document_of(event: str) -> UUID:
    return UUID(invalidation.subject_of(event))


def _groups_of(events: Iterable[str]) -> list[str]:
    return [group for event in events if (group := caching.group_of(event))]


def _ignore(event: str) -> None:
    """Changes of the catalog arrive by their group, as all others."""
