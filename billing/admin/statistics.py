"""Admin pages of usage by day, month and period."""

from django.contrib import admin

from billing.admin.filters import (
    AccountFilter,
    ModelTextFilter,
    MonthOfDayFilter,
    MonthOfMonthFilter,
    VoiceTextFilter,
)
from billing.models import UsageDay, UsagePeriod, VoiceMonth
from config.admin import BoundedPaginator, LargeTableAdmin, ReadOnlyAdmin

SUMS = ("events", "characters", "cost", "duration_ms")


@admin.register(UsageDay)
class UsageDayAdmin(LargeTableAdmin, ReadOnlyAdmin):
    paginator = BoundedPaginator
    list_display = ["day", "user_id", "usage_type", "model", "voice", *SUMS]
    list_filter = [MonthOfDayFilter, AccountFilter, VoiceTextFilter, ModelTextFilter, "usage_type"]
    ordering = ["-day", "-id"]


@admin.register(VoiceMonth)
class VoiceMonthAdmin(LargeTableAdmin, ReadOnlyAdmin):
    paginator = BoundedPaginator
    list_display = ["month", "user_id", "model", "voice", *SUMS]
    list_filter = [MonthOfMonthFilter, AccountFilter, VoiceTextFilter, ModelTextFilter]
    ordering = ["-month", "-id"]


@admin.register(UsagePeriod)
class UsagePeriodAdmin(LargeTableAdmin, ReadOnlyAdmin):
    paginator = BoundedPaginator
    list_display = [
        *("start", "end", "source", "user_id", "usage_type"),
        *("limit", "used", "total", "closed_at", "carried"),
    ]
    list_filter = [AccountFilter, "usage_type", "source"]
    ordering = ["-id"]
