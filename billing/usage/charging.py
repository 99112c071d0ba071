"""One transaction that charges a batch of usage events of any number of accounts."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from billing import waterfall
from billing.errors import MissingSubscription
from billing.models import LedgerEntry, Subscription, UsagePeriod
from billing.usage import ledger
from billing.usage.events import UsageEvent
from billing.usage.ledger import Row
from billing.usage.locks import lock_periods, lock_subscriptions, set_lock_timeout

Periods = Mapping[str, UsagePeriod]  # by event id


@dataclass(frozen=True, slots=True)
class ChargeResult:
    """Number of events new to the ledger, and accounts left out since their rows are locked elsewhere."""

    count: int
    locked: frozenset[int] = frozenset()


@transaction.atomic
def charge(
    events: Mapping[str, UsageEvent], *, deleted: Collection[int] = (), wait: bool = True
) -> ChargeResult:
    """Charge new events, all or nothing. Without `wait`, accounts that are locked elsewhere are left out.

    Raises MissingSubscription for accounts without a subscription that are not among the deleted ones.
    """
    set_lock_timeout()
    user_ids = {event.user_id for event in events.values()}
    subscriptions = lock_subscriptions(user_ids, wait=wait)
    locked = _locked_elsewhere(user_ids - subscriptions.keys() - set(deleted), wait=wait)
    if locked:
        events = {key: event for key, event in events.items() if event.user_id not in locked}
    if not events:
        return ChargeResult(0, locked)
    periods = _periods_of(events.values(), subscriptions)
    recorded = ledger.recorded(events.keys())
    new = [event for event in events.values() if event.id not in recorded]
    if new:
        books = Books(subscriptions, periods)
        for event in new:
            books.charge(event)
        books.write()
        ledger.add_to_sums(new)
    return ChargeResult(len(new), locked)


@dataclass(slots=True)
class Books:
    """Locked rows and pending writes of a batch. A deleted account has periods but no subscription."""

    subscriptions: Mapping[int, Subscription]
    periods: Periods
    rows: list[Row] = field(default_factory=list)
    drawn: set[int] = field(default_factory=set)  # accounts whose balances have changed
    charged_periods: dict[int, UsagePeriod] = field(default_factory=dict)

    def charge(self, event: UsageEvent) -> None:
        """Draw the cost of one event, in memory."""
        subscription = self.subscriptions.get(event.user_id)
        period = self.periods[event.id]
        if subscription is None:  # deleted: recorded, but no balance pays
            parts = waterfall.Parts(from_subscription=event.cost)
        else:
            parts = self._draw(
                subscription, event, event.cost, waterfall.plan_left(period.limit, period.used)
            )
        self.rows.append(ledger.usage_row(event, parts))
        period.used += parts.from_subscription
        period.total += event.cost
        self.charged_periods[period.pk] = period
        if subscription and period.carried:
            self._correct_rollover(subscription, period, event)

    def _draw(
        self, subscription: Subscription, event: UsageEvent, cost: int, left: int | None
    ) -> waterfall.Parts:
        parts, pools = waterfall.draw(cost, left, subscription.pools(event.usage_type))
        if parts.from_subscription != cost:
            subscription.set_pools(event.usage_type, pools)
            self.drawn.add(event.user_id)
        return parts

    def _correct_rollover(self, subscription: Subscription, late: UsagePeriod, event: UsageEvent) -> None:
        """Take back characters that a closed period carried over before this late event was charged to it."""
        cap = waterfall.ROLLOVER_CAP[event.usage_type]
        carried = waterfall.carry(late.limit, late.used, late.rollover_before, cap)
        excess = late.carried - min(carried, late.carried)
        if not excess:
            return
        late.carried -= excess
        parts = self._draw(subscription, event, excess, 0)
        row = ledger.change_row(
            f"late-{uuid4()}",
            LedgerEntry.Kind.ROLLOVER,
            event.user_id,
            event.usage_type,
            parts,
            late.end,
            reason=f"usage after the close of its period: {event.id}",
        )
        self.rows.append(row)

    def write(self) -> None:
        """Write ledger rows, balances and counters."""
        ledger.insert(self.rows)
        ledger.write_pools([self.subscriptions[user_id] for user_id in sorted(self.drawn)])
        ledger.write_counters([self.charged_periods[pk] for pk in sorted(self.charged_periods)])


def _locked_elsewhere(user_ids: Collection[int], *, wait: bool) -> frozenset[int]:
    """Accounts among these that have a row after all. Raises MissingSubscription for the others."""
    if not user_ids:
        return frozenset()
    locked: set[int] = set()
    if not wait:
        locked.update(Subscription.objects.filter(user_id__in=user_ids).values_list("user_id", flat=True))
    if missing := set(user_ids) - locked:
        raise MissingSubscription(missing)
    return frozenset(locked)


def _periods_of(events: Collection[UsageEvent], subscriptions: Mapping[int, Subscription]) -> Periods:
    """Lock the periods that contain these events, and create missing ones."""
    periods = _lock_existing(events)
    if missing := [event for event in events if event.id not in periods]:
        _open(missing, subscriptions)
        periods = _lock_existing(events)
    return periods


def _lock_existing(events: Collection[UsageEvent]) -> Periods:
    times = [event.occurred_at for event in events]
    rows: dict[tuple[int, str], list[UsagePeriod]] = defaultdict(list)
    for row in lock_periods({event.user_id for event in events}, min(times), max(times)):
        rows[row.user_id, row.usage_type].append(row)
    periods = {}
    for event in events:
        for row in rows.get((event.user_id, event.usage_type.value), ()):
            if row.start <= event.occurred_at < row.end:
                periods[event.id] = row
    return periods


def _open(events: Iterable[UsageEvent], subscriptions: Mapping[int, Subscription]) -> None:
    """Create a period for each account, type and month of these events."""
    periods = {}
    for event in events:
        period = _new_period(event, subscriptions.get(event.user_id))
        periods[period.user_id, period.usage_type, period.start] = period
    UsagePeriod.objects.bulk_create([periods[key] for key in sorted(periods)], ignore_conflicts=True)


def _new_period(event: UsageEvent, subscription: Subscription | None) -> UsagePeriod:
    limit = subscription.limit(event.usage_type) if subscription else None
    period = UsagePeriod.of_month(event.user_id, event.usage_type, event.occurred_at, limit)
    now = timezone.now()
    if period.end <= now:
        # Closed at once, so that nothing is carried over: the limit of that month is unknown.
        period.closed_at = now
    return period
