"""Charging usage: the entry point of billing for consumers and commands."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db import DataError, IntegrityError, OperationalError

from billing.errors import MissingSubscription
from billing.models import Subscription
from billing.subscriptions import ensure_subscriptions
from billing.usage.charging import Charged, charge
from billing.usage.events import UsageEvent

REFUSALS = (DataError, IntegrityError)
# lock_not_available, deadlock_detected, serialization_failure, query_canceled: others are in the way.
IN_THE_WAY = frozenset({"55P03", "40P01", "40001", "57014"})

Events = Mapping[str, UsageEvent]


@dataclass(slots=True)
class Outcome:
    """Of a batch: how many events were new, whose accounts must wait, which events are refused and why."""

    charged: int = 0
    waiting: set[int] = field(default_factory=set)
    refused: dict[str, Exception] = field(default_factory=dict)


def record_usage(events: Iterable[UsageEvent]) -> int:
    """Charge the billable events that are not in the ledger yet; return how many that were.

    One transaction: all or nothing. Repeatable: what was charged before is recognised by its event id. What
    an account that is gone has used is written down as well; nobody's balance goes down.
    """
    once = _billable(events)
    if not once:
        return 0
    try:
        return _charge(once, wait=True).count
    except IntegrityError:
        # An account was deleted meanwhile, or it has no row to lock and another process charged the same
        # event just now: both look different at the second try. What is refused again is refused for good.
        return _charge(once, wait=True).count


def charge_batch(events: Iterable[UsageEvent], *, wait: bool = False) -> Outcome:
    """As record_usage, and no account delays another: all in one transaction, and where that is refused,
    account by account, then event by event. Raises OperationalError only for an outage.
    """
    once = _billable(events)
    outcome = Outcome()
    if once:
        _charge_or_split(once, outcome, wait=wait)
    return outcome


def _billable(events: Iterable[UsageEvent]) -> dict[str, UsageEvent]:
    once: dict[str, UsageEvent] = {}
    for event in events:
        if event.billable:
            once.setdefault(event.id, event)
    return once


def _charge(events: Events, *, wait: bool) -> Charged:
    try:
        return charge(events, wait=wait)
    except MissingSubscription as lacking:
        # Outside of the transaction: an insert locks too, and in its own order.
        ensure_subscriptions(lacking.user_ids)
        gone = set(lacking.user_ids) - set(_known(lacking.user_ids))
        return charge(events, gone=gone, wait=wait)


def _known(user_ids: Iterable[int]) -> Iterable[int]:
    return Subscription.objects.filter(user_id__in=list(user_ids)).values_list("user_id", flat=True)


def _charge_or_split(events: Events, outcome: Outcome, *, wait: bool) -> None:
    try:
        _charge_into(events, outcome, wait=wait)
    except (*REFUSALS, OperationalError) as error:
        if not _is_of_an_account(error):
            raise
        for of_account in _by_account(events):
            _charge_account(of_account, outcome, wait=wait)


def _charge_account(events: Events, outcome: Outcome, *, wait: bool) -> None:
    try:
        _charge_into(events, outcome, wait=wait)
    except REFUSALS:
        for event in events.values():
            _charge_event(event, outcome, wait=wait)
    except OperationalError as error:
        if not _is_of_an_account(error):
            raise
        outcome.waiting.update(event.user_id for event in events.values())


def _charge_event(event: UsageEvent, outcome: Outcome, *, wait: bool) -> None:
    try:
        _charge_into({event.id: event}, outcome, wait=wait)
    except REFUSALS as error:
        outcome.refused[event.id] = error
    except OperationalError as error:
        if not _is_of_an_account(error):
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


def _is_of_an_account(error: Exception) -> bool:
    """Whether others can be charged in spite of it, which in an outage they cannot."""
    return isinstance(error, REFUSALS) or getattr(error.__cause__, "sqlstate", None) in IN_THE_WAY
