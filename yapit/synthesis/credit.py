"""What accounts may still ask for: read from PostgreSQL once, then followed in Redis.

A reading says how far the account's count of asked characters may go (`ceiling`). ENQUEUE compares the two,
for all sockets of all processes: what one of them asked for is missing to the others at once, whether it has
been charged meanwhile or not. So a reading stays true until somebody changes the balance itself, which raises
the epoch `credit` of the account and rings a bell.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from billing.plans.allowance import Allowance, allowance
from config import caching
from config.database.offload import offload
from config.redis.multiplexed import MultiplexedConnection
from config.redis.scripts import Script, arun, lua
from yapit import invalidation
from yapit.accounts import preferences
from yapit.jobs.lua import COMMON
from yapit.protocol import Usage, UsageThreshold

READ_AGAIN_AFTER_CHARGES_SECONDS = 5.0
KEPT_SECONDS = 86400  # a count in Redis that nobody reads; far longer than any reading holds
CACHED_BYTES = 4 * 1024 * 1024
USAGE_TYPES = ("standard", "premium")

READING = Script(COMMON + lua(Path(__file__).parent / "lua", "reading"))


@dataclass(frozen=True, slots=True)
class Unlimited:
    """No ceiling."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Limited:
    """So much of `allowance` was left when `due` characters were asked for and not charged."""

    epoch: int
    allowance: Allowance
    due: int
    left: int
    ceiling: int
    threshold: int | None  # percent spent that the account wants to be told of
    read_at: float

    @property
    def may_be_stale(self) -> bool:
        """What was charged while it was read is subtracted twice."""
        good_for = settings.CREDIT_AT_ZERO_SECONDS
        if self.due:
            good_for = min(good_for, READ_AGAIN_AFTER_CHARGES_SECONDS)
        return time.monotonic() - self.read_at > good_for

    def is_past_threshold(self, left: int) -> bool:
        limit = self.allowance.limit
        if self.threshold is None or not limit:
            return False
        return (limit - left) * 100 >= limit * self.threshold


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """Nobody asked yet, or what was known does not hold any more."""


Credit = Unlimited | Limited
NOT_LOADED = NotLoaded()


def _seconds(credit: Credit) -> float:
    seconds: float = settings.CREDIT_SECONDS
    if isinstance(credit, Unlimited):
        return seconds
    if credit.left <= 0:
        return min(seconds, settings.CREDIT_AT_ZERO_SECONDS)
    end = credit.allowance.period_end
    return seconds if end is None else min(seconds, max(1.0, (end - timezone.now()).total_seconds()))


_credits: caching.RowCache[tuple[int, str], Credit] = caching.RowCache(
    "credits", max_bytes=CACHED_BYTES, seconds=settings.CREDIT_SECONDS, lifetime=_seconds
)


def _keys_of(*user_ids: int) -> Iterable[tuple[int, str]]:
    return [(user_id, kind) for user_id in user_ids for kind in USAGE_TYPES]


def _keys_of_event(event: str) -> Iterable[tuple[int, str]]:
    subject = invalidation.subject_of(event)
    return _keys_of(int(subject)) if subject.isdecimal() else ()


# The notification threshold of a reading is one of the preferences.
_credits.invalidate_on(f"{invalidation.CREDIT}*", f"{invalidation.PREFERENCES}*", keys=_keys_of_event)


def forget(*user_ids: int) -> None:
    """What is known of these accounts, in this process; without any, of all."""
    if user_ids:
        _credits.invalidate(*_keys_of(*user_ids))
    else:
        _credits.flush()


def remembered(user_id: int, usage_type: str) -> Credit | NotLoaded:
    return _credits.get((user_id, usage_type), NOT_LOADED)


async def credit_of(link: MultiplexedConnection, user_id: int, usage_type: str) -> Credit:
    return await _credits.aget_or_fetch((user_id, usage_type), partial(_read, link, user_id, usage_type))


async def _read(link: MultiplexedConnection, user_id: int, usage_type: str) -> Credit:
    # In this order. What is charged in between is subtracted twice until the next reading; the other way
    # round it could be spent twice.
    key = caching.epoch_key("credit", user_id)
    epoch, due, asked = await arun(link, READING.call(user_id, usage_type, KEPT_SECONDS, keys=[key]))
    found, threshold = await offload(_look_up, user_id, usage_type)
    if found.characters is None:
        return Unlimited(epoch)
    left = found.characters - due
    return Limited(epoch, found, due, left, left + asked, threshold, time.monotonic())


def _look_up(user_id: int, usage_type: str) -> tuple[Allowance, int | None]:
    found = allowance(user_id, usage_type)
    is_limited = found.characters is not None
    return found, preferences.of(user_id).usage_threshold if is_limited else None


async def outdated(user_ids: list[int]) -> list[int]:
    """Accounts whose epoch is not the one of their reading: a bell was missed. They are forgotten."""
    known = {user_id: credit for user_id in user_ids if (credit := _any_of(user_id))}
    epochs = await caching.aepochs("credit", list(known))
    changed = [
        user_id
        for (user_id, credit), epoch in zip(known.items(), epochs, strict=True)
        if credit.epoch != epoch
    ]
    if changed:
        forget(*changed)
    return changed


def _any_of(user_id: int) -> Credit | None:
    for kind in USAGE_TYPES:
        credit = remembered(user_id, kind)
        if not isinstance(credit, NotLoaded):
            return credit
    return None


@dataclass(slots=True)
class Meter:
    """What one connection asks for against its account's credit, and whether it was warned."""

    link: MultiplexedConnection
    user_id: int
    _used: set[str] = field(default_factory=set)
    _warned: set[str] = field(default_factory=set)

    @property
    def is_used(self) -> bool:
        return bool(self._used)

    async def credit(self, usage_type: str) -> Credit:
        self._used.add(usage_type)
        return await credit_of(self.link, self.user_id, usage_type)

    async def check(self) -> list[UsageThreshold]:
        """The balance may have changed: what there is to tell."""
        told = []
        for usage_type in tuple(self._used):
            credit = await self.credit(usage_type)
            left = credit.left if isinstance(credit, Limited) else 0
            told += self.warnings(usage_type, credit, left)
        return told

    def warnings(self, usage_type: str, credit: Credit, left: int) -> list[UsageThreshold]:
        """Once when what is left falls under the threshold, and again only after it recovered."""
        if isinstance(credit, Unlimited) or not credit.is_past_threshold(left):
            self._warned.discard(usage_type)
            return []
        if usage_type in self._warned:
            return []
        self._warned.add(usage_type)
        return [
            UsageThreshold(
                usage_type=usage_type,
                threshold=credit.threshold or 0,
                available=max(0, left),
                limit=credit.allowance.limit or 0,
                period_end=_iso(credit.allowance),
            )
        ]


def ceilings(credits: Mapping[str, Credit]) -> dict[str, int]:
    return {kind: credit.ceiling for kind, credit in credits.items() if isinstance(credit, Limited)}


def usage_of(credit: Credit, available: int, requested: int) -> Usage | None:
    """What a refusal carries."""
    if isinstance(credit, Unlimited):
        return None
    return Usage(
        available=available,
        limit=credit.allowance.limit or 0,
        used=credit.allowance.used,
        requested=requested,
        period_end=_iso(credit.allowance),
    )


def _iso(found: Allowance) -> str | None:
    return found.period_end.isoformat() if found.period_end else None
