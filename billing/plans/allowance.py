"""Allowance of an account: characters that it may still spend."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.utils import timezone

from billing.models import Balance, Plan, UsagePeriod
from billing.periods import month_of
from billing.subscriptions import new_limit
from billing.usage_types import UsageType


@dataclass(frozen=True, slots=True)
class Allowance:
    """Allowance as of the last charge. Callers subtract reserved characters, which only Redis counts.

    `characters` is the rest of the limit plus rollover and purchased characters; None: unlimited. `used`
    counts the characters charged to the limit in this period.
    """

    characters: int | None
    limit: int | None
    used: int
    period_end: datetime | None = None


# The default plan is joined for accounts without balances, which are new.
SELECT = """
SELECT b.id IS NULL, p.id IS NOT NULL, p.{kind}_limit, b."limit", b.rollover + b.purchased, u.used, u."end"
FROM (SELECT 1) AS one
LEFT JOIN {balance} b ON b.user_id = %(user)s AND b.usage_type = %(kind)s
LEFT JOIN {plan} p ON p.slug = %(plan)s
LEFT JOIN {period} u ON u.user_id = %(user)s AND u.usage_type = %(kind)s
    AND u.start <= %(now)s AND u."end" > %(now)s
"""
SELECTS = {
    kind: SELECT.format(
        kind=kind,
        balance=Balance._meta.db_table,
        plan=Plan._meta.db_table,
        period=UsagePeriod._meta.db_table,
    )
    for kind in UsageType
}


def allowance(user_id: int, usage_type: UsageType | str) -> Allowance:
    """The allowance at this moment, by one SELECT: a lock or write would wait for a charge of the account.

    An account without balances has the allowance of a new one.
    """
    kind, now = UsageType(usage_type), timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            SELECTS[kind], {"user": user_id, "plan": settings.DEFAULT_PLAN, "kind": kind.value, "now": now}
        )
        is_new, has_plan, plan_limit, own_limit, pools, used, end = cursor.fetchone()
    limit = new_limit(kind, has_plan, plan_limit) if is_new else own_limit
    left = None if limit is None else max(0, max(0, limit - (used or 0)) + (pools or 0))
    return Allowance(left, limit, used or 0, end or month_of(now).end)
