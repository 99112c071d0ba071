"""Charging of usage events: the entry points for consumers and commands."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db import DataError, IntegrityError, OperationalError

from billing.errors import MissingSubscription
from billing.models import Subscription
from billing.subscriptions import ensure_subscriptions
from billing.usage.charging import ChargeResult, charge
from billing.usage.events import UsageEvent

REFUSALS = (DataError, IntegrityError)
# lock_not_available, deadlock_detected, serialization_failure, query_canceled
CONTENTION = frozenset({"55P03", "40P01", "40001", "57014"})

Events = Mapping[str, UsageEvent]


@dataclass(slots=True)
class Outcome:
    """Result of a batch: new events, accounts to retry since their rows are locked, and refused events."""

    charged: int = 0
    waiting: set[int] = field(default_factory=set)
    refused: dict[str, Exception] = field(default_factory=dict)


def record_usage(events: Iterable[UsageEvent]) -> int:
    """Charge billable events that are not in the ledger yet; return how many were new.

    One transaction: all or nothing. Repeatable: charged events are recognised by their id. Usage of a deleted
    account is recorded, too, and changes no balance.
    """
    by_id = _billable(events)
    if not by_id:
        return 0
    try:
        return _charge(by_id, wait=True).count
    except IntegrityError:
        # The account was deleted meanwhile, or it has no row to lock and another process has charged the same
        # event; the second attempt sees either. A second refusal is final.
        return _charge(by_id, wait=True).count


def charge_batch(events: Iterable[UsageEvent], *, wait: bool = False) -> Outcome:
    """Charge billable events like record_usage, but so that no account delays another.

    All in one transaction; if the database refuses it, one per account, and then one per event. Raises
    OperationalError only for an outage.
    """
    by_id = _billable(events)
    outcome = Outcome()
    if by_id:
        _charge_or_split(by_id, outcome, wait=wait)
    return outcome


def _billable(events: Iterable[UsageEvent]) -> dict[str, UsageEvent]:
    by_id: dict[str, UsageEvent] = {}
    for event in events:
        if event.billable:
            by_id.setdefault(event.id, event)
    return by_id


def _charge(events: Events, *, wait: bool) -> ChargeResult:
    try:
        return charge(events, wait=wait)
    except MissingSubscription as missing:
        # Outside of the transaction, because an insert takes locks in another order.
        ensure_subscriptions(missing.user_ids)
        deleted = set(missing.user_ids) - set(_existing(missing.user_ids))
        return charge(events, deleted=deleted, wait=wait)


def _existing(user_ids: Iterable[int]) -> Iterable[int]:
    return Subscription.objects.filter(user_id__in=list(user_ids)).values_list("user_id", flat=True)


def _charge_or_split(events: Events, outcome: Outcome, *, wait: bool) -> None:
    try:
        _charge_into(events, outcome, wait=wait)
    except (*REFUSALS, OperationalError) as error:
        if not _concerns_accounts(error):
            raise
        for account_events in _by_account(events):
            _charge_account(account_events, outcome, wait=wait)


def _charge_account(events: Events, outcome: Outcome, *, wait: bool) -> None:
    try:
        _charge_into(events, outcome, wait=wait)
    except REFUSALS:
        for event in events.values():
            _charge_event(event, outcome, wait=wait)
    except OperationalError as error:
        if not _concerns_accounts(error):
            raise
        outcome.waiting.update(event.user_id for event in events.values())


def _charge_event(event: UsageEvent, outcome: Outcome, *, wait: bool) -> None:
    try:
        _charge_into({event.id: event}, outcome, wait=wait)
    except REFUSALS as error:
        outcome.refused[event.id] = error
    except OperationalError as error:
        if not _concerns_accounts(error):
            raise
        outcome.waiting.add(event.user_id)


def _charge_into(events: Events, outcome: Outcome, *, wait: bool) -> None:
    charged = _charge(events, wait=wait)
    outcome.charged += charged.count
    outcome.waiting |= charged.locked


def _by_account(events: Events) -> Iterable[Events]:
    accounts: dict[int, dict[str, UsageEvent]] = defaultdict(dict)
    for event in events.values():
        accounts[event.user_id][event.id] = event
    return [accounts[user_id] for user_id in sorted(accounts)]


def _concerns_accounts(error: Exception) -> bool:
    """Whether the error concerns some accounts or events only, and is not an outage."""
    return isinstance(error, REFUSALS) or getattr(error.__cause__, "sqlstate", None) in CONTENTION
