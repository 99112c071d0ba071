"""One transaction that charges a batch of usage events of any number of accounts."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from uuid import uuid4

from django.db import IntegrityError, transaction
from django.utils import timezone

from billing import waterfall
from billing.errors import MissingSubscription
from billing.models import Balance, EntryKind, Subscription, UsagePeriod
from billing.usage import ledger
from billing.usage.events import UsageEvent
from billing.usage.ledger import Row
from billing.usage.locks import (
    Balances,
    lock_periods,
    lock_subscriptions,
    read_balances,
    set_lock_timeout,
)
from billing.usage_types import UsageType

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
    accounts = lock_subscriptions(user_ids, wait=wait)
    locked = _locked_elsewhere(user_ids - accounts - set(deleted), wait=wait)
    if locked:
        events = {key: event for key, event in events.items() if event.user_id not in locked}
    if not events:
        return ChargeResult(0, locked)
    balances = LazyBalances(accounts, {event.usage_type for event in events.values()})
    periods = _periods_of(events.values(), balances)
    recorded = ledger.recorded(events.keys())
    new = [event for event in events.values() if event.id not in recorded]
    if new:
        books = Books(balances, periods)
        for event in new:
            books.charge(event)
        books.write()
        ledger.add_to_sums(new)
    return ChargeResult(len(new), locked)


class LazyBalances:
    """Balances of locked accounts, read by one statement when the first is needed.

    Most usage fits the limit of its period and needs none.
    """

    def __init__(self, accounts: Collection[int], usage_types: Collection[UsageType]) -> None:
        self.accounts = accounts
        self._usage_types = usage_types
        self._rows: Balances | None = None

    def of(self, user_id: int, usage_type: UsageType) -> Balance:
        """Raises MissingSubscription, with all accounts that lack one of the balances."""
        if self._rows is None:
            rows = read_balances(self.accounts, self._usage_types)
            if missing := set(product(self.accounts, self._usage_types)) - rows.keys():
                raise MissingSubscription({account for account, _ in missing})
            self._rows = rows
        return self._rows[user_id, usage_type]


@dataclass(slots=True)
class Books:
    """Locked rows and pending writes of a batch. A deleted account has periods but no balances."""

    balances: LazyBalances
    periods: Periods
    rows: list[Row] = field(default_factory=list)
    drawn: dict[int, Balance] = field(default_factory=dict)  # balances that have changed
    charged_periods: dict[int, UsagePeriod] = field(default_factory=dict)

    def charge(self, event: UsageEvent) -> None:
        """Draw the cost of one event, in memory."""
        is_deleted = event.user_id not in self.balances.accounts
        period = self.periods[event.id]
        left = None if is_deleted else waterfall.plan_left(period.limit, period.used)
        if left is None or event.cost <= left:  # of a deleted account: recorded, but no balance pays
            parts = waterfall.Parts(from_subscription=event.cost)
        else:
            parts = self._draw(event, event.cost, left)
        self.rows.append(ledger.usage_row(event, parts))
        period.used += parts.from_subscription
        period.total += event.cost
        self.charged_periods[period.pk] = period
        if period.carried and not is_deleted:
            self._correct_rollover(period, event)

    def _draw(self, event: UsageEvent, cost: int, left: int) -> waterfall.Parts:
        balance = self.balances.of(event.user_id, event.usage_type)
        parts, balance.pools = waterfall.draw(cost, left, balance.pools)
        self.drawn[balance.pk] = balance
        return parts

    def _correct_rollover(self, late: UsagePeriod, event: UsageEvent) -> None:
        """Take back characters that a closed period carried over before this late event was charged to it."""
        cap = waterfall.ROLLOVER_CAP[event.usage_type]
        carried = waterfall.carry(late.limit, late.used, late.rollover_before, cap)
        excess = late.carried - min(carried, late.carried)
        if not excess:
            return
        late.carried -= excess
        parts = self._draw(event, excess, 0)
        row = ledger.change_row(
            f"late-{uuid4()}",
            EntryKind.ROLLOVER,
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
        ledger.write_balances([self.drawn[pk] for pk in sorted(self.drawn)])
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


def _periods_of(events: Collection[UsageEvent], balances: LazyBalances) -> Periods:
    """Lock the periods that contain these events, and create missing ones."""
    periods = _lock_existing(events)
    if missing := [event for event in events if event.id not in periods]:
        _open(missing, balances)
        periods = _lock_existing(events)
        if any(event.id not in periods for event in missing):
            raise IntegrityError("A calendar month would overlap a period that does not contain the event.")
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


def _open(events: Iterable[UsageEvent], balances: LazyBalances) -> None:
    """Create a period for each account, type and month of these events."""
    periods = {}
    for event in events:
        period = _new_period(event, balances)
        periods[period.user_id, period.usage_type, period.start] = period
    UsagePeriod.objects.bulk_create([periods[key] for key in sorted(periods)], ignore_conflicts=True)


def _new_period(event: UsageEvent, balances: LazyBalances) -> UsagePeriod:
    is_deleted = event.user_id not in balances.accounts
    limit = None if is_deleted else balances.of(event.user_id, event.usage_type).limit
    period = UsagePeriod.of_month(event.user_id, event.usage_type, event.occurred_at, limit)
    now = timezone.now()
    if period.end <= now:
        # Closed at once, so that nothing is carried over: the limit of that month is unknown.
        period.closed_at = now
    return period
