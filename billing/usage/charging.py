"""Charges a batch in one transaction, however many accounts it is of. For services only."""

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
class Charged:
    """How many events were new to the ledger; and whose rows somebody else holds: of theirs, nothing was."""

    count: int
    locked: frozenset[int] = frozenset()


@transaction.atomic
def charge(events: Mapping[str, UsageEvent], *, gone: Collection[int] = (), wait: bool = True) -> Charged:
    """Charge what is new, all or nothing. Without `wait`, accounts that are locked elsewhere are left out.

    Raises MissingSubscription when somebody has no subscription and is not said to be gone.
    """
    set_lock_timeout()
    user_ids = {event.user_id for event in events.values()}
    subscriptions = lock_subscriptions(user_ids, wait=wait)
    locked = _held_elsewhere(user_ids - subscriptions.keys() - set(gone), wait=wait)
    if locked:
        events = {key: event for key, event in events.items() if event.user_id not in locked}
    if not events:
        return Charged(0, locked)
    periods = _periods_of(events.values(), subscriptions)
    known = ledger.recorded(events.keys())
    new = [event for event in events.values() if event.id not in known]
    if new:
        books = Books(subscriptions, periods)
        for event in new:
            books.charge(event)
        books.write()
        ledger.add_to_sums(new)
    return Charged(len(new), locked)


@dataclass(slots=True)
class Books:
    """What is locked, and what will be written. An account that is gone has periods and no subscription."""

    subscriptions: Mapping[int, Subscription]
    periods: Periods
    rows: list[Row] = field(default_factory=list)
    drawn: set[int] = field(default_factory=set)  # accounts of which more than the period's limit was taken
    counted: dict[int, UsagePeriod] = field(default_factory=dict)

    def charge(self, event: UsageEvent) -> None:
        subscription = self.subscriptions.get(event.user_id)
        period = self.periods[event.id]
        if subscription is None:  # nobody is left who would pay; what was used is written down
            parts = waterfall.Parts(from_subscription=event.cost)
        else:
            parts = self._draw(
                subscription, event, event.cost, waterfall.plan_left(period.limit, period.used)
            )
        self.rows.append(ledger.usage_row(event, parts))
        period.used += parts.from_subscription
        period.total += event.cost
        self.counted[period.pk] = period
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
        """The use came after its period was closed: that had less left over than it was taken to have."""
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
            reason=f"used before, told late: {event.id}",
        )
        self.rows.append(row)

    def write(self) -> None:
        ledger.insert(self.rows)
        ledger.write_pools([self.subscriptions[user_id] for user_id in sorted(self.drawn)])
        ledger.write_counters([self.counted[pk] for pk in sorted(self.counted)])


def _held_elsewhere(user_ids: Collection[int], *, wait: bool) -> frozenset[int]:
    """Of those whose row was not found. Raises MissingSubscription for those who have none."""
    if not user_ids:
        return frozenset()
    held: set[int] = set()
    if not wait:
        held.update(Subscription.objects.filter(user_id__in=user_ids).values_list("user_id", flat=True))
    if lacking := set(user_ids) - held:
        raise MissingSubscription(lacking)
    return frozenset(held)


def _periods_of(events: Collection[UsageEvent], subscriptions: Mapping[int, Subscription]) -> Periods:
    """The locked periods that contain these events, made where there is none."""
    found = _locked(events)
    if lacking := [event for event in events if event.id not in found]:
        _open(lacking, subscriptions)
        found = _locked(events)
    return found


def _locked(events: Collection[UsageEvent]) -> Periods:
    times = [event.occurred_at for event in events]
    rows: dict[tuple[int, str], list[UsagePeriod]] = defaultdict(list)
    for row in lock_periods({event.user_id for event in events}, min(times), max(times)):
        rows[row.user_id, row.usage_type].append(row)
    found = {}
    for event in events:
        for row in rows.get((event.user_id, event.usage_type.value), ()):
            if row.start <= event.occurred_at < row.end:
                found[event.id] = row
    return found


def _open(events: Iterable[UsageEvent], subscriptions: Mapping[int, Subscription]) -> None:
    """A row for each month in which there is none yet."""
    lacking = {}
    for event in events:
        row = _new_period(event, subscriptions.get(event.user_id))
        lacking[row.user_id, row.usage_type, row.start] = row
    UsagePeriod.objects.bulk_create([lacking[place] for place in sorted(lacking)], ignore_conflicts=True)


def _new_period(event: UsageEvent, subscription: Subscription | None) -> UsagePeriod:
    limit = subscription.limit(event.usage_type) if subscription else None
    period = UsagePeriod.of_month(event.user_id, event.usage_type, event.occurred_at, limit)
    now = timezone.now()
    if period.end <= now:
        # Closed at once, so that nothing is carried over: the limit of that month is unknown.
        period.closed_at = now
    return period
