"""What one account used in a month, for its own eyes: read only, from sums where there are sums."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

from django.db.models import Count, QuerySet, Sum
from redis import Redis

from billing.models import LedgerEntry, Subscription, UsageDay, UsagePeriod
from billing.periods import Period
from billing.plans.allowance import allowance
from billing.usage_types import UsageType

MOST_DOCUMENTS = 100
FORMULA = ("=", "+", "-", "@", "\t", "\r")
PAGE = 2_000
COLUMNS = (
    *(
        "occurred_at",
        "kind",
        "usage_type",
        "model",
        "voice",
        "document",
        "characters",
        "multiplier_bp",
        "cost",
    ),
    *("from_subscription", "from_rollover", "from_purchased", "to_debt", "duration_ms", "event_id", "reason"),
)


@dataclass(frozen=True, slots=True)
class Balance:
    """Of one usage type. `pending` was asked for and is not charged yet; the other numbers do not have it."""

    usage_type: UsageType
    limit: int | None
    used: int
    total: int
    rollover: int
    purchased: int
    available: int | None
    pending: int


@dataclass(frozen=True, slots=True)
class Line:
    """Sums of one voice, model, day or document."""

    name: str
    model: str
    events: int
    characters: int
    cost: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Usage:
    period: Period
    is_current: bool
    plan: tuple[str, str] | None  # slug and name
    balances: list[Balance]
    voices: list[Line]
    models: list[Line]
    days: list[Line]
    documents: list[Line]


def usage_of(redis: Redis, user_id: int, period: Period, now: datetime) -> Usage:
    is_current = period.start <= now < period.end
    of_period = UsageDay.objects.filter(
        user_id=user_id, day__gte=period.start.date(), day__lt=period.end.date()
    )
    subscription = Subscription.objects.select_related("plan").filter(user_id=user_id).first()
    plan = subscription.plan if subscription else None
    return Usage(
        period=period,
        is_current=is_current,
        plan=(plan.slug, plan.name) if plan else None,
        balances=_balances(redis, user_id, period, subscription or Subscription(), is_current=is_current),
        voices=_lines(of_period, "voice", "model"),
        models=_lines(of_period, "model"),
        days=sorted(_lines(of_period, "day"), key=lambda line: line.name),
        documents=_documents(user_id, period),
    )


def entries(user_id: int, period: Period, after: tuple[datetime, int] | None) -> list[tuple[object, ...]]:
    """A page of the account's ledger, oldest first, behind the time and id that end each row."""
    rows = LedgerEntry.objects.filter(
        user_id=user_id, occurred_at__gte=period.start, occurred_at__lt=period.end
    )
    if after is not None:
        at, last = after
        rows = rows.filter(occurred_at__gte=at).exclude(occurred_at=at, id__lte=last)
    return list(rows.order_by("occurred_at", "id").values_list(*COLUMNS, "id")[:PAGE])


def as_cell(value: object) -> object:
    """For a spreadsheet, which must not calculate what a name begins with."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def place_of(row: tuple[object, ...]) -> tuple[datetime, int]:
    return cast(datetime, row[0]), cast(int, row[-1])


def _balances(
    redis: Redis, user_id: int, period: Period, subscription: Subscription, *, is_current: bool
) -> list[Balance]:
    counted = {
        row.usage_type: row
        for row in UsagePeriod.objects.filter(user_id=user_id, start__lt=period.end, end__gt=period.start)
    }
    due: Any = redis.hgetall(f"reserved:{user_id}") if is_current else {}
    return [
        _balance(user_id, kind, subscription, counted.get(kind.value), _pending(due, kind), is_current)
        for kind in UsageType
    ]


def _pending(due: Any, kind: UsageType) -> int:
    return max(0, int(due.get(kind.value.encode(), 0)))


def _balance(
    user_id: int,
    kind: UsageType,
    subscription: Subscription,
    counted: UsagePeriod | None,
    pending: int,
    is_current: bool,
) -> Balance:
    found = allowance(user_id, kind)
    pools = subscription.pools(kind)
    return Balance(
        usage_type=kind,
        limit=found.limit if is_current or counted is None else counted.limit,
        used=counted.used if counted else 0,
        total=counted.total if counted else 0,
        rollover=pools.rollover,
        purchased=pools.purchased,
        available=None if found.characters is None else max(0, found.characters - pending),
        pending=pending,
    )


SUMS = {name: Sum(name) for name in ("events", "characters", "cost", "duration_ms")}


def _lines(rows: QuerySet[UsageDay], name: str, *more: str) -> list[Line]:
    sums = {f"sum_{key}": value for key, value in SUMS.items()}
    found = rows.order_by().values(name, *more).annotate(**sums)
    lines = [
        Line(
            name=_text(row[name]),
            model=row.get("model", ""),
            **{key: int(row[f"sum_{key}"]) for key in SUMS},
        )
        for row in found
    ]
    return sorted(lines, key=lambda line: (-line.cost, line.name))


def _text(value: str | date) -> str:
    return value.isoformat() if isinstance(value, date) else value


def _documents(user_id: int, period: Period) -> list[Line]:
    """The costliest, from the ledger: the daily sums do not know documents."""
    rows = LedgerEntry.objects.filter(
        user_id=user_id, kind="usage", occurred_at__gte=period.start, occurred_at__lt=period.end
    )
    sums = (
        rows.order_by()
        .values("document")
        .annotate(count=Count("pk"), chars=Sum("characters"), charged=Sum("cost"), ms=Sum("duration_ms"))
    )
    return [
        Line(str(row["document"] or ""), "", row["count"], row["chars"], row["charged"], row["ms"])
        for row in sums.order_by("-charged", "document")[:MOST_DOCUMENTS]
    ]
