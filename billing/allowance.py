"""What an account may still spend, and the one shape in which a refusal says so."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from billing.events import UsageType
from billing.models import Subscription


@dataclass(frozen=True, slots=True)
class Allowance:
    """As PostgreSQL knows it: what is queued or not charged yet (`due` in Redis) is the caller's to subtract.

    `characters` None is unlimited, 0 is nothing left. `used` may be past the limit: no use is cut short.
    """

    characters: int | None
    limit: int | None
    used: int
    period_end: datetime | None = None


class UsageBody(TypedDict):
    available: int | None
    limit: int | None
    used: int
    requested: int
    period_end: str | None


def allowance(user_id: int, usage_type: UsageType | str) -> Allowance:
    """One SELECT, no lock, no write: a write here would wait for the charge of the same account.

    An account that has never been charged may have no row yet; it has what a new row would give it.
    """
    subscription = Subscription.objects.filter(user_id=user_id).first() or Subscription()
    kind = UsageType(usage_type)
    limit, used = subscription.limit(kind), subscription.used(kind)
    return Allowance(None if limit is None else max(0, limit - used), limit, used)


def usage_body(found: Allowance, requested: int, due: int = 0) -> UsageBody:
    """What a refusal carries, over HTTP and WebSocket alike. `due`: asked for and not charged yet."""
    return {
        "available": None if found.characters is None else max(0, found.characters - due),
        "limit": found.limit,
        "used": found.used,
        "requested": requested,
        "period_end": found.period_end.isoformat() if found.period_end else None,
    }
