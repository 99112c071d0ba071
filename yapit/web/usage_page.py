"""Usage page `/usage/`: balances and usage of one month."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from billing.periods import Period, month_named, month_of
from billing.reports.account_usage import BalanceLine, UsageLine
from yapit.accounts.identity import LOCAL_USERNAME
from yapit.usage.account_usage import MonthlyUsage, usage_in
from yapit.web.decorators import account_page
from yapit.web.navigation import navigation


@account_page
def usage(request: HttpRequest) -> HttpResponse:
    period = _period(request.GET.get("period"))
    monthly = usage_in(_user_id(request), period)
    context = {
        **navigation("usage"),
        "usage": monthly.usage,
        "name": f"{period.start:%Y-%m}",
        "before": f"{_month_before(period).start:%Y-%m}",
        "after": None if monthly.usage.is_current else f"{month_of(period.end).start:%Y-%m}",
        "balances": [_balance_context(balance) for balance in monthly.usage.balances],
        "tables": _table_contexts(monthly),
    }
    return render(request, "yapit/usage.html", context)


def _period(name: str | None) -> Period:
    current = month_of(timezone.now())
    if name is None:
        return current
    period = month_named(name)
    if period is None or period.start > current.start:
        raise Http404
    return period


def _month_before(period: Period) -> Period:
    return month_of(period.start - timedelta(microseconds=1))


def _user_id(request: HttpRequest) -> int:
    if settings.MULTI_USER:
        return int(request.user.pk or 0)
    return get_user_model().objects.values_list("pk", flat=True).get(username=LOCAL_USERNAME)


def _balance_context(balance: BalanceLine) -> dict[str, object]:
    return {
        "name": str(balance.usage_type).capitalize(),
        "numbers": balance,
        "is_unlimited": balance.limit is None,
        "debt": -balance.rollover if balance.rollover < 0 else 0,
        "spent": min(balance.used, balance.limit or 0),
    }


def _table_contexts(monthly: MonthlyUsage) -> list[dict[str, object]]:
    usage = monthly.usage
    documents = [(monthly.titles.get(line.name) or "Deleted document", line) for line in usage.documents]
    return [
        _table_context("Days", [(line.name, line) for line in usage.days]),
        _table_context("Voices", [(line.name, line) for line in usage.voices]),
        _table_context("Models", [(line.name, line) for line in usage.models]),
        _table_context("Documents", documents),
    ]


def _table_context(title: str, rows: list[tuple[str, UsageLine]]) -> dict[str, object]:
    return {
        "title": title,
        "rows": [{"name": name, "line": line, "minutes": line.duration_ms / 60_000} for name, line in rows],
        "most": max((line.cost for _, line in rows), default=0),
    }
