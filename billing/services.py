"""The only code that charges.

Lock order, here and wherever balances change: subscription rows by primary key, then the ledger.
"""

from collections.abc import Iterable, Mapping, Sequence

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction

from billing.events import UsageEvent
from billing.models import LedgerEntry, Subscription

LOCK_TIMEOUT = "2s"


def record_usage(events: Iterable[UsageEvent]) -> int:
    """Charge the billable events that are not in the ledger yet; return how many that were.

    One transaction: all or nothing. Repeatable: what was charged before is recognised by its event id. What
    an account that is gone has used is written down as well; it has no counter left to raise.
    """
    once: dict[str, UsageEvent] = {}
    for event in events:
        if event.billable:
            once.setdefault(event.id, event)
    if not once:
        return 0
    try:
        return _charge(once)
    except IntegrityError:
        # An account was deleted meanwhile, or it has no row to lock and another process charged the same
        # event just now: both look different at the second try. What is refused again is refused for good.
        return _charge(once)


def ensure_subscriptions(user_ids: Iterable[int] | None = None) -> None:
    """Give these accounts (None: all) the row that they lack. Repeatable. Leaves out who does not exist."""
    lacking = get_user_model().objects.filter(subscription__isnull=True).order_by("pk")
    if user_ids is not None:
        lacking = lacking.filter(pk__in=list(user_ids))
    Subscription.objects.bulk_create(
        [Subscription(user_id=pk) for pk in lacking.values_list("pk", flat=True)], ignore_conflicts=True
    )


def _charge(events: Mapping[str, UsageEvent]) -> int:
    user_ids = {event.user_id for event in events.values()}
    # Before the transaction: an insert locks too, and in its own order.
    ensure_subscriptions(user_ids)
    with transaction.atomic():
        subscriptions = _lock(user_ids)
        new = _without_recorded(events)
        LedgerEntry.objects.bulk_create([_entry(event) for event in new])
        _count(subscriptions, new)
    return len(new)


def _lock(user_ids: Iterable[int]) -> dict[int, Subscription]:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    rows = (
        Subscription.objects.select_for_update(no_key=True).filter(user_id__in=list(user_ids)).order_by("pk")
    )
    return {row.user_id: row for row in rows}


def _without_recorded(events: Mapping[str, UsageEvent]) -> list[UsageEvent]:
    recorded = set(LedgerEntry.objects.filter(event_id__in=list(events)).values_list("event_id", flat=True))
    return [event for event_id, event in events.items() if event_id not in recorded]


def _entry(event: UsageEvent) -> LedgerEntry:
    return LedgerEntry(
        event_id=event.id,
        user_id=event.user_id,
        characters=event.characters,
        multiplier_bp=event.multiplier_bp,
        cost=event.cost,
        usage_type=event.usage_type.value,
        model=event.model,
        voice=event.voice,
        document=event.document,
        duration_ms=event.duration_ms,
        hash=event.hash,
        occurred_at=event.occurred_at,
    )


def _count(subscriptions: Mapping[int, Subscription], events: Sequence[UsageEvent]) -> None:
    for event in events:
        if subscription := subscriptions.get(event.user_id):
            subscription.charge(event.usage_type, event.cost)
    _write_counters([subscriptions[pk] for pk in {event.user_id for event in events} & subscriptions.keys()])


def _write_counters(subscriptions: Sequence[Subscription]) -> None:
    """One statement for all. Not bulk_update: its CASE grows with rows times columns."""
    table = Subscription._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET standard_used = new.standard, premium_used = new.premium"  # noqa: S608  # our own table
            " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS new (id, standard, premium)"
            f" WHERE {table}.id = new.id",
            [
                [subscription.pk for subscription in subscriptions],
                [subscription.standard_used for subscription in subscriptions],
                [subscription.premium_used for subscription in subscriptions],
            ],
        )
