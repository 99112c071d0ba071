"""Row locks of accounts, and reads under them.

Lock order, in every transaction that changes balances: subscription rows by primary key, then usage periods,
then the ledger. The lock of the subscription row guards the account's balance rows too, which are read after
it is taken and need no locks of their own.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from django.db import connection

from billing.models import Balance, Subscription, UsagePeriod
from billing.usage_types import UsageType

LOCK_TIMEOUT = "2s"

Balances = dict[tuple[int, str], Balance]  # by account and usage type

LOCK_SUBSCRIPTIONS = f"""
SELECT user_id FROM {Subscription._meta.db_table} WHERE user_id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608  # the name is a constant, here and below
BALANCE_FIELDS = ["id", "user_id", "usage_type", "limit", "rollover", "purchased"]
READ_BALANCES = f"""
SELECT id, user_id, usage_type, "limit", rollover, purchased FROM {Balance._meta.db_table}
WHERE user_id = ANY(%s) AND usage_type = ANY(%s)
"""  # noqa: S608


def set_lock_timeout(timeout: str | None = None) -> None:
    """Set lock_timeout until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [timeout or LOCK_TIMEOUT])


def lock_subscriptions(user_ids: Iterable[int], *, wait: bool = True) -> set[int]:
    """Lock subscription rows and return their accounts; without `wait`, skip rows locked elsewhere."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_SUBSCRIPTIONS + ("" if wait else "SKIP LOCKED"), [list(user_ids)])
        return {user_id for (user_id,) in cursor.fetchall()}


def read_balances(user_ids: Collection[int], usage_types: Iterable[str] = UsageType) -> Balances:
    """The balance rows of accounts whose subscriptions are locked."""
    with connection.cursor() as cursor:
        cursor.execute(READ_BALANCES, [list(user_ids), [str(usage_type) for usage_type in usage_types]])
        rows = [Balance.from_db(connection.alias, BALANCE_FIELDS, row) for row in cursor.fetchall()]
    return {(row.user_id, row.usage_type): row for row in rows}


def lock_periods(user_ids: Iterable[int], since: datetime, until: datetime) -> list[UsagePeriod]:
    """Lock and return periods that overlap `since` to `until`, both included, ordered by account and time."""
    rows = UsagePeriod.objects.select_for_update(no_key=True).filter(
        user_id__in=list(user_ids), end__gt=since, start__lte=until
    )
    return list(rows.order_by("user_id", "usage_type", "start"))
