"""Usage report of one account for one month, from the sums where they suffice. Reads only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Count, QuerySet, Sum
from redis import Redis

from billing.models import Balance, LedgerEntry, Subscription, UsageDay, UsagePeriod
from billing.periods import Period
from billing.plans.allowance import allowance
from billing.usage_types import SPEECH_TYPES, UsageType
from billing.waterfall import Pools
from config.redis import keys

MOST_DOCUMENTS = 100


@dataclass(frozen=True, slots=True)
class BalanceLine:
    """Balance of one usage type. `pending` is requested and not charged yet; no other count includes it."""

    usage_type: UsageType
    limit: int | None
    used: int
    total: int
    rollover: int
    purchased: int
    available: int | None
    pending: int


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Sums of one voice, model, day or document."""

    name: str
    model: str
    events: int
    characters: int
    cost: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The whole report."""

    period: Period
    is_current: bool
    plan: tuple[str, str] | None  # slug and name
    balances: list[BalanceLine]
    voices: list[UsageLine]
    models: list[UsageLine]
    days: list[UsageLine]
    documents: list[UsageLine]


def usage_of(redis: Redis, user_id: int, period: Period, now: datetime) -> UsageReport:
    """Compute the report of an account, which need not have a subscription."""
    is_current = period.start <= now < period.end
    of_period = UsageDay.objects.filter(
        user_id=user_id, day__gte=period.start.date(), day__lt=period.end.date()
    )
    subscription = Subscription.objects.select_related("plan").filter(user_id=user_id).first()
    plan = subscription.plan if subscription else None
    return UsageReport(
        period=period,
        is_current=is_current,
        plan=(plan.slug, plan.name) if plan else None,
        balances=_balances(redis, user_id, period, is_current=is_current),
        voices=_lines(of_period, "voice", "model"),
        models=_lines(of_period, "model"),
        days=sorted(_lines(of_period, "day"), key=lambda line: line.name),
        documents=_documents(user_id, period),
    )


def ledger_of(user_id: int, period: Period) -> QuerySet[LedgerEntry]:
    """All ledger entries of the account in the period."""
    return LedgerEntry.objects.filter(
        user_id=user_id, occurred_at__gte=period.start, occurred_at__lt=period.end
    )


def _balances(redis: Redis, user_id: int, period: Period, *, is_current: bool) -> list[BalanceLine]:
    """Balances of the types that speech is charged in."""
    pools = {row.usage_type: row.pools for row in Balance.objects.filter(user_id=user_id)}
    counters = {
        row.usage_type: row
        for row in UsagePeriod.objects.filter(user_id=user_id, start__lt=period.end, end__gt=period.start)
    }
    reserved: Any = redis.hgetall(keys.reserved(user_id)) if is_current else {}
    return [
        _balance(
            user_id,
            kind,
            pools.get(kind.value, Pools()),
            counters.get(kind.value),
            _pending(reserved, kind),
            is_current,
        )
        for kind in SPEECH_TYPES
    ]


def _pending(reserved: Mapping[bytes, bytes], kind: UsageType) -> int:
    return max(0, int(reserved.get(kind.value.encode(), 0)))


def _balance(
    user_id: int,
    kind: UsageType,
    pools: Pools,
    counters: UsagePeriod | None,
    pending: int,
    is_current: bool,
) -> BalanceLine:
    current = allowance(user_id, kind)
    return BalanceLine(
        usage_type=kind,
        limit=current.limit if is_current or counters is None else counters.limit,
        used=counters.used if counters else 0,
        total=counters.total if counters else 0,
        rollover=pools.rollover,
        purchased=pools.purchased,
        available=None if current.characters is None else max(0, current.characters - pending),
        pending=pending,
    )


SUMS = {name: Sum(name) for name in ("events", "characters", "cost", "duration_ms")}


def _lines(rows: QuerySet[UsageDay], name: str, *more: str) -> list[UsageLine]:
    """Sums grouped by these columns, highest cost first."""
    sums = {f"sum_{key}": value for key, value in SUMS.items()}
    lines = [
        UsageLine(
            name=_text(row[name]),
            model=row.get("model", ""),
            **{key: int(row[f"sum_{key}"]) for key in SUMS},
        )
        for row in rows.order_by().values(name, *more).annotate(**sums)
    ]
    return sorted(lines, key=lambda line: (-line.cost, line.name))


def _text(value: str | date) -> str:
    return value.isoformat() if isinstance(value, date) else value


def _documents(user_id: int, period: Period) -> list[UsageLine]:
    """The documents of highest cost, from the ledger: daily sums are not by document."""
    sums = (
        ledger_of(user_id, period)
        .filter(kind="usage")
        .order_by()
        .values("document")
        .annotate(count=Count("pk"), chars=Sum("characters"), charged=Sum("cost"), ms=Sum("duration_ms"))
    )
    return [
        UsageLine(str(row["document"] or ""), "", row["count"], row["chars"], row["charged"], row["ms"])
        for row in sums.order_by("-charged", "document")[:MOST_DOCUMENTS]
    ]
