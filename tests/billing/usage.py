"""Usage for tests: entries as FINALIZE writes them, events as billing reads them, and accounts to charge."""

import itertools

from django.contrib.auth import get_user_model

from billing.cost import cost
from billing.events import USAGE_STREAM, UsageEvent
from billing.models import Subscription

_numbers = itertools.count(1)


def make_account(**subscription) -> int:
    """An account; with arguments, one with such a subscription. Return its id."""
    user = get_user_model().objects.create(username=f"listener-{next(_numbers)}")
    if subscription:
        Subscription.objects.create(user=user, **subscription)
    return user.pk


def make_fields(
    user_id: int = 1, chars: int = 100, *, multiplier_bp: int = 10_000, **changes: object
) -> dict[bytes, bytes]:
    """The fields of a stream entry; `changes` replaces any of them."""
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
        "created_ms": 1_767_225_600_000,
    } | changes
    return {name.encode(): _bytes(value) for name, value in fields.items()}


def make_event(user_id: int = 1, chars: int = 100, **changes: object) -> UsageEvent:
    return UsageEvent.from_fields(make_fields(user_id, chars, **changes))


def publish(redis, user_id: int, chars: int = 100, **changes: object) -> dict[bytes, bytes]:
    """What FINALIZE leaves behind: an entry, and its cost among what is due. Return the entry's fields."""
    fields = make_fields(user_id, chars, **changes)
    if fields.get(b"billable") == b"1":
        redis.hincrby(f"due:{user_id}", fields[b"usage_type"], int(fields[b"cost"]))
    redis.xadd(USAGE_STREAM, fields)
    return fields


def used(user_id: int) -> int:
    return Subscription.objects.get(user_id=user_id).standard_used


def due(redis, user_id: int) -> dict[bytes, bytes]:
    return redis.hgetall(f"due:{user_id}")


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
