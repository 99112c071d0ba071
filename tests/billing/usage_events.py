"""Test data of usage: stream entries as FINALIZE writes them, usage events, and accounts to charge."""

import itertools
from datetime import UTC, datetime

from django.contrib.auth import get_user_model
from django.utils import timezone

from billing.cost import cost
from billing.models import Balance, Subscription, UsagePeriod, default_limit
from billing.redis_keys import USAGE_STREAM
from billing.usage.events import UsageEvent
from billing.usage_types import SPEECH_TYPES, UsageType
from config.redis import keys

_numbers = itertools.count(1)


def make_account(*, standard_used: int | None = None, premium_used: int | None = None, **balances) -> int:
    """Create an account and return its id; with arguments, it has a subscription and usage this month."""
    user = get_user_model().objects.create(username=f"listener-{next(_numbers)}")
    counters = {UsageType.STANDARD: standard_used, UsageType.PREMIUM: premium_used}
    if balances or any(number is not None for number in counters.values()):
        make_subscription(user.pk, **balances)
        for kind, number in counters.items():
            if number is not None:
                limit = balance_of(user.pk, kind).limit
                period = UsagePeriod.of_month(user.pk, kind, timezone.now(), limit)
                period.used = period.total = number
                period.save()
    return user.pk


def make_subscription(user_id: int, **balances: int | None) -> None:
    """Create a subscription and balances with these values, such as `premium_limit` or `ocr_rollover`."""
    Subscription.objects.create(user_id=user_id)
    for kind in UsageType:
        names = ("limit", "rollover", "purchased")
        given = {name: balances.pop(f"{kind}_{name}") for name in names if f"{kind}_{name}" in balances}
        limit = default_limit() if kind in SPEECH_TYPES else 0
        Balance.objects.create(user_id=user_id, usage_type=kind, **{"limit": limit} | given)
    assert not balances


def balance_of(user_id: int, usage_type: str) -> Balance:
    return Balance.objects.get(user_id=user_id, usage_type=usage_type)


def make_fields(
    user_id: int = 1, chars: int = 100, *, multiplier_bp: int = 10_000, **changes: object
) -> dict[bytes, bytes]:
    """Fields of a stream entry; `changes` replaces any of them, and `at` is the time of the event."""
    at = changes.pop("at", None) or timezone.now()
    fields = {
        "id": f"job-{next(_numbers)}",
        "user": user_id,
        "chars": chars,
        "multiplier_bp": multiplier_bp,
        "cost": cost(chars, multiplier_bp),
        "usage_type": "standard",
        "billable": 1,
        "hash": "ab" * 32,
        "model": "hibari",
        "voice": "wren",
        "document": "6f2ab7c4-3a51-4a2e-9d7e-0a4f4c1f2b11",
        "duration_ms": 5400,
        "created_ms": milliseconds(at),
    } | changes
    return {name.encode(): _bytes(value) for name, value in fields.items()}


def milliseconds(at: datetime) -> int:
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def make_event(user_id: int = 1, chars: int = 100, **changes: object) -> UsageEvent:
    return UsageEvent.from_fields(make_fields(user_id, chars, **changes))


def publish(redis, user_id: int, chars: int = 100, **changes: object) -> dict[bytes, bytes]:
    """Add an entry and reserve its cost, as FINALIZE leaves them. Return the fields of the entry."""
    fields = make_fields(user_id, chars, **changes)
    entry = redis.xadd(USAGE_STREAM, fields)
    if fields.get(b"billable") == b"1":
        redis.hincrby(keys.reserved(user_id), fields[b"usage_type"], int(fields[b"cost"]))
        parts = (b"%d" % user_id, fields[b"usage_type"], fields[b"cost"], entry)
        redis.hset(keys.RESERVATIONS, fields[b"id"], b" ".join(parts))
    return fields


def used(user_id: int, usage_type: str = "standard") -> int:
    """Total usage over all periods."""
    rows = UsagePeriod.objects.filter(user_id=user_id, usage_type=usage_type)
    return sum(rows.values_list("total", flat=True))


def reserved(redis, user_id: int) -> dict[bytes, bytes]:
    return redis.hgetall(keys.reserved(user_id))


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
