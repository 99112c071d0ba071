"""Credit of accounts: the characters they may still request, read from PostgreSQL once and followed in Redis.

A reading gives a limit for the account's total of requested characters. ENQUEUE compares the two, for all
connections of all processes: a request of one lowers what is left to the others at once, charged or not. So a
reading stays valid until the balance itself changes, which raises the epoch `credit` and publishes an event.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from billing.plans.allowance import Allowance, allowance
from billing.usage_types import UsageType
from config import caching
from config.database.offload import offload
from config.redis.multiplexed import MultiplexedConnection
from config.redis.scripts import Script, arun, lua
from yapit import invalidation
from yapit.accounts import preferences
from yapit.jobs.lua import COMMON
from yapit.protocol import Usage, UsageThreshold

STALE_AFTER_CHARGES_SECONDS = 5.0
TOTAL_SECONDS = 86400  # lifetime of an unread total in Redis; far longer than that of a reading
CACHED_BYTES = 4 * 1024 * 1024
USAGE_TYPES = tuple(usage_type.value for usage_type in UsageType)

READ_COUNTS = Script(COMMON + lua(Path(__file__).parent / "lua", "read_counts"))


@dataclass(frozen=True, slots=True)
class Unlimited:
    """The account may request any number of characters."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Limited:
    """`left` of `allowance`, less the reserved characters; the requested total may grow up to `limit`."""

    epoch: int
    allowance: Allowance
    reserved: int
    left: int
    limit: int
    threshold: int | None  # percentage of the plan at which the account wants a warning
    read_at: float

    @property
    def may_be_stale(self) -> bool:
        """Whether to read again before a refusal: a charge during the reading was subtracted twice."""
        lifetime = settings.CREDIT_AT_ZERO_SECONDS
        if self.reserved:
            lifetime = min(lifetime, STALE_AFTER_CHARGES_SECONDS)
        return time.monotonic() - self.read_at > lifetime

    def is_past_threshold(self, left: int) -> bool:
        plan = self.allowance.limit
        if self.threshold is None or not plan:
            return False
        return (plan - left) * 100 >= plan * self.threshold


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """The credit is not in memory."""


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
    return [(user_id, usage_type) for user_id in user_ids for usage_type in USAGE_TYPES]


def _keys_of_event(event: str) -> Iterable[tuple[int, str]]:
    subject = invalidation.subject_of(event)
    return _keys_of(int(subject)) if subject.isdecimal() else ()


# The notification threshold of a reading is one of the preferences.
_credits.invalidate_on(f"{invalidation.CREDIT}*", f"{invalidation.PREFERENCES}*", keys=_keys_of_event)


def forget(*user_ids: int) -> None:
    """Drop the credit of these accounts from the memory of this process; without arguments, of all."""
    if user_ids:
        _credits.invalidate(*_keys_of(*user_ids))
    else:
        _credits.flush()


def cached(user_id: int, usage_type: str) -> Credit | NotLoaded:
    return _credits.get((user_id, usage_type), NOT_LOADED)


async def credit_of(link: MultiplexedConnection, user_id: int, usage_type: str) -> Credit:
    """From memory, or else read from Redis and PostgreSQL."""
    return await _credits.aget_or_fetch((user_id, usage_type), partial(_read, link, user_id, usage_type))


async def _read(link: MultiplexedConnection, user_id: int, usage_type: str) -> Credit:
    # In this order: a charge in between is subtracted twice until the next reading. In the other order it
    # could be spent twice.
    key = caching.epoch_key("credit", user_id)
    counts = READ_COUNTS.call(user_id, usage_type, TOTAL_SECONDS, keys=[key])
    epoch, reserved, requested = await arun(link, counts)
    balance, threshold = await offload(_read_balance, user_id, usage_type)
    if balance.characters is None:
        return Unlimited(epoch)
    left = balance.characters - reserved
    return Limited(epoch, balance, reserved, left, left + requested, threshold, time.monotonic())


def _read_balance(user_id: int, usage_type: str) -> tuple[Allowance, int | None]:
    balance = allowance(user_id, usage_type)
    is_limited = balance.characters is not None
    return balance, preferences.of(user_id).usage_threshold if is_limited else None


async def outdated(user_ids: list[int]) -> list[int]:
    """Accounts whose epoch has changed since their reading: the event was lost. Their credit is dropped."""
    readings = {user_id: credit for user_id in user_ids if (credit := _any_of(user_id))}
    epochs = await caching.aepochs("credit", list(readings))
    changed = [
        user_id
        for (user_id, credit), epoch in zip(readings.items(), epochs, strict=True)
        if credit.epoch != epoch
    ]
    if changed:
        forget(*changed)
    return changed


def _any_of(user_id: int) -> Credit | None:
    for usage_type in USAGE_TYPES:
        credit = cached(user_id, usage_type)
        if not isinstance(credit, NotLoaded):
            return credit
    return None


@dataclass(slots=True)
class Meter:
    """Usage types that one connection has requested, and those for which it was warned."""

    link: MultiplexedConnection
    user_id: int
    # Defaults are shared by all idle connections.
    _used: frozenset[str] = frozenset()
    _warned: frozenset[str] = frozenset()

    @property
    def is_used(self) -> bool:
        return bool(self._used)

    async def credit(self, usage_type: str) -> Credit:
        if usage_type not in self._used:
            self._used |= {usage_type}
        return await credit_of(self.link, self.user_id, usage_type)

    async def check(self) -> list[UsageThreshold]:
        """Warnings to send after a change of the balance."""
        warnings = []
        for usage_type in self._used:
            credit = await self.credit(usage_type)
            left = credit.left if isinstance(credit, Limited) else 0
            warnings += self.warnings(usage_type, credit, left)
        return warnings

    def warnings(self, usage_type: str, credit: Credit, left: int) -> list[UsageThreshold]:
        """A warning when `left` falls below the threshold; another one only after it has recovered."""
        if isinstance(credit, Unlimited) or not credit.is_past_threshold(left):
            if usage_type in self._warned:
                self._warned -= {usage_type}
            return []
        if usage_type in self._warned:
            return []
        self._warned |= {usage_type}
        return [
            UsageThreshold(
                usage_type=usage_type,
                threshold=credit.threshold or 0,
                available=max(0, left),
                limit=credit.allowance.limit or 0,
                period_end=_iso(credit.allowance),
            )
        ]


def limits(credits: Mapping[str, Credit]) -> dict[str, int]:
    """Limits of the requested total by usage type, as ENQUEUE takes them; unlimited types are absent."""
    return {usage_type: credit.limit for usage_type, credit in credits.items() if isinstance(credit, Limited)}


def usage_of(credit: Credit, available: int, requested: int) -> Usage | None:
    """The figures of a refusal; None for unlimited credit."""
    if isinstance(credit, Unlimited):
        return None
    return Usage(
        available=available,
        limit=credit.allowance.limit or 0,
        used=credit.allowance.used,
        requested=requested,
        period_end=_iso(credit.allowance),
    )


def _iso(balance: Allowance) -> str | None:
    return balance.period_end.isoformat() if balance.period_end else None
