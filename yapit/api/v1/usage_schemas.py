"""Response schemas of /v1/usage."""

from datetime import datetime
from typing import Literal

from ninja import Field, Schema

from billing.reports.account_usage import BalanceLine, UsageLine
from yapit.usage.account_usage import MonthlyUsage


class PeriodOut(Schema):
    start: datetime
    end: datetime = Field(description="Exclusive end.")


class PlanOut(Schema):
    id: str
    name: str


class BalanceOut(Schema):
    usage_type: str
    limit: int | None = Field(description="Characters of the period; null: unlimited.")
    used: int = Field(description="Charged to the limit.")
    total: int = Field(description="Total usage, from all balances.")
    rollover: int = Field(description="Carried over from earlier periods; negative: debt.")
    purchased: int
    available: int | None = Field(description="Characters that can be requested now; null: unlimited.")
    pending: int = Field(description="Requested but not charged yet.")

    @classmethod
    def of(cls, balance: BalanceLine) -> "BalanceOut":
        names = ("limit", "used", "total", "rollover", "purchased", "available", "pending")
        return cls(usage_type=balance.usage_type.value, **{name: getattr(balance, name) for name in names})


class Sums(Schema):
    events: int
    characters: int = Field(description="Spoken characters in code points.")
    cost: int = Field(description="Characters charged.")
    duration_ms: int


class VoiceUsage(Sums):
    voice: str
    model: str


class ModelUsage(Sums):
    model: str


class DayUsage(Sums):
    day: str


class DocumentUsage(Sums):
    document: str | None
    title: str | None = Field(description="Null: deleted, or not visible to you.")


class UsageOut(Schema):
    object: Literal["usage"] = "usage"
    period: PeriodOut
    plan: PlanOut | None
    balances: list[BalanceOut]
    by_voice: list[VoiceUsage]
    by_model: list[ModelUsage]
    by_document: list[DocumentUsage] = Field(description="The 100 documents with the highest cost.")
    by_day: list[DayUsage]

    @classmethod
    def of(cls, monthly: MonthlyUsage) -> "UsageOut":
        usage = monthly.usage
        return cls(
            period=PeriodOut(start=usage.period.start, end=usage.period.end),
            plan=PlanOut(id=usage.plan[0], name=usage.plan[1]) if usage.plan else None,
            balances=[BalanceOut.of(balance) for balance in usage.balances],
            by_voice=[VoiceUsage(voice=line.name, model=line.model, **_sums(line)) for line in usage.voices],
            by_model=[ModelUsage(model=line.name, **_sums(line)) for line in usage.models],
            by_document=[
                DocumentUsage(document=line.name or None, title=monthly.titles.get(line.name), **_sums(line))
                for line in usage.documents
            ],
            by_day=[DayUsage(day=line.name, **_sums(line)) for line in usage.days],
        )


def _sums(line: UsageLine) -> dict[str, int]:
    return {
        "events": line.events,
        "characters": line.characters,
        "cost": line.cost,
        "duration_ms": line.duration_ms,
    }
