"""List filters of usage tables that an index answers and that need no query for their choices."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from billing.periods import month_named, month_of

MONTHS = 24
LARGEST_ACCOUNT = 2**63 - 1


class TextFilter(admin.SimpleListFilter):
    """A filter with a text field: listing every value that occurs would read the whole table."""

    template = "admin/billing/text_filter.html"
    column = ""
    parameter_name: str

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", "")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        others = changelist.get_filters_params()
        others.pop(self.parameter_name, None)
        yield {
            "others": [(name, value) for name, values in others.items() for value in values],
            "value": self.value() or "",
            "without": changelist.get_query_string(remove=[self.parameter_name]),
        }

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        value = self.value()
        return queryset.filter(**{self.column: value}) if value else queryset


class VoiceTextFilter(TextFilter):
    title = parameter_name = column = "voice"


class ModelTextFilter(TextFilter):
    title = parameter_name = column = "model"


class AccountFilter(TextFilter):
    title = "account (number or name)"
    parameter_name = "account"

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        value = self.value()
        return queryset.filter(user_id__in=accounts_named(value)) if value else queryset


class MonthFilter(admin.SimpleListFilter):
    """Rows of one of the last months, by a time or date column."""

    title = parameter_name = "month"
    column = "occurred_at"
    is_date = False

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = []
        month = month_of(timezone.now())
        for _ in range(MONTHS):
            names.append(f"{month.start:%Y-%m}")
            month = month_of(month.start - timedelta(microseconds=1))
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        month = month_named(self.value() or "")
        if month is None:
            return queryset
        start, end = (month.start.date(), month.end.date()) if self.is_date else (month.start, month.end)
        return queryset.filter(**{f"{self.column}__gte": start, f"{self.column}__lt": end})


class MonthOfDayFilter(MonthFilter):
    column = "day"
    is_date = True


class MonthOfMonthFilter(MonthFilter):
    column = "month"
    is_date = True


def accounts_named(term: str) -> list[int]:
    """Account numbers for a username or a number, also one of a deleted account."""
    user_ids = list(get_user_model().objects.filter(username=term).values_list("pk", flat=True))
    if term.isascii() and term.isdigit() and int(term) <= LARGEST_ACCOUNT:
        user_ids.append(int(term))
    return user_ids
