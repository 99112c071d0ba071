"""What an account may still spend."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.utils import timezone

from billing.models import Plan, Subscription, UsagePeriod
from billing.periods import month_of
from billing.subscriptions import new_limit
from billing.usage_types import UsageType


@dataclass(frozen=True, slots=True)
class Allowance:
    """As PostgreSQL knows it: what is queued or not charged yet (`due` in Redis) is the caller's to subtract.

    `characters` None is unlimited, 0 is nothing left; who has not asked yet has no Allowance at all. It is
    what is left of the limit, and what earlier periods left over, and what was given or bought. `used` is
    what the period's limit has paid for.
    """

    characters: int | None
    limit: int | None
    used: int
    period_end: datetime | None = None


# The default plan stands in for an account that has no row yet.
SELECT = """
SELECT s.id IS NULL, p.id IS NOT NULL, p.{kind}_limit, s.{kind}_limit,
    s.{kind}_rollover + s.{kind}_purchased, u.used, u."end"
FROM (SELECT 1) AS one
LEFT JOIN {subscription} s ON s.user_id = %(user)s
LEFT JOIN {plan} p ON p.slug = %(plan)s
LEFT JOIN {period} u ON u.user_id = %(user)s AND u.usage_type = %(kind)s
    AND u.start <= %(now)s AND u."end" > %(now)s
"""
SELECTS = {
    kind: SELECT.format(
        kind=kind,
        subscription=Subscription._meta.db_table,
        plan=Plan._meta.db_table,
        period=UsagePeriod._meta.db_table,
    )
    for kind in UsageType
}


def allowance(user_id: int, usage_type: UsageType | str) -> Allowance:
    """One SELECT, no lock, no write: a write here would wait for the charge of the same account.

    An account that has never been charged may have no row yet; it has what a new row would give it.
    """
    kind, now = UsageType(usage_type), timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            SELECTS[kind], {"user": user_id, "plan": settings.DEFAULT_PLAN, "kind": kind.value, "now": now}
        )
        is_new, is_plan, of_plan, of_account, pools, used, end = cursor.fetchone()
    limit = new_limit(is_plan, of_plan) if is_new else of_account
    left = None if limit is None else max(0, max(0, limit - (used or 0)) + (pools or 0))
    return Allowance(left, limit, used or 0, end or month_of(now).end)
