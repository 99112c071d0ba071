"""Admin pages of the ledger, with totals and CSV export."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path

from billing.admin.filters import (
    AccountFilter,
    ModelTextFilter,
    MonthFilter,
    VoiceTextFilter,
    accounts_named,
)
from billing.models import PARTS, LedgerEntry, UsageDay
from billing.periods import month_named
from billing.reports.ledger_csv import COLUMNS, ledger_csv
from config.admin import BoundedPaginator, LargeTableAdmin, ReadOnlyAdmin


@admin.register(LedgerEntry)
class LedgerEntryAdmin(LargeTableAdmin, ReadOnlyAdmin):
    """Read-only: a wrong charge is corrected by a new entry."""

    change_list_template = "admin/billing/ledgerentry/change_list.html"
    paginator = BoundedPaginator
    list_display = [
        "occurred_at",
        "kind",
        "user_id",
        "usage_type",
        "cost",
        *PARTS,
        "characters",
        "model",
        "voice",
        "event_id",
        "reason",
        "operator",
        "api_key",
        "operation_id",
    ]
    list_filter = [MonthFilter, AccountFilter, VoiceTextFilter, ModelTextFilter, "usage_type", "kind"]
    ordering = ["-occurred_at", "-id"]
    search_fields = ["event_id"]
    search_help_text = "An event id, account number or username, in full."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LedgerEntry], search_term: str
    ) -> tuple[QuerySet[LedgerEntry], bool]:
        """Exact matches, which an index answers; Django's own search reads every row."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(Q(event_id=term) | Q(user_id__in=accounts_named(term))), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", {})
        if changelist := context.get("cl"):
            context["totals"] = _totals(request)
            context["exact"] = _exact(changelist.queryset) if _is_narrow(request) else None
            context["export_query"] = request.GET.urlencode()
        return response

    def get_urls(self) -> list[URLPattern]:
        export = path("export/", self.admin_site.admin_view(self.export), name="billing_ledgerentry_export")
        return [export, *super().get_urls()]

    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """The filtered entries as CSV, streamed page by page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).queryset
        return StreamingHttpResponse(
            ledger_csv(rows, ("user_id", *COLUMNS, "operator", "api_key", "operation_id")),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="ledger.csv"', "Cache-Control": "no-store"},
        )


def _totals(request: HttpRequest) -> dict[str, int | None]:
    """Sums of usage for these filters, from the daily sums: summing the ledger could take a minute."""
    rows = UsageDay.objects.order_by()
    query = request.GET
    for column in ("usage_type", "voice", "model"):
        value = query.get(f"{column}__exact") or query.get(column)
        rows = rows.filter(**{column: value}) if value else rows
    if account := query.get("account"):
        rows = rows.filter(user_id__in=accounts_named(account))
    if month := month_named(query.get("month", "")):
        rows = rows.filter(day__gte=month.start.date(), day__lt=month.end.date())
    return rows.aggregate(events=Sum("events"), characters=Sum("characters"), cost=Sum("cost"))


def _is_narrow(request: HttpRequest) -> bool:
    """Whether the filters select few enough entries to sum: one account or one month."""
    return bool(request.GET.get("account")) or month_named(request.GET.get("month", "")) is not None


def _exact(rows: QuerySet[LedgerEntry]) -> dict[str, int | None]:
    """Sums of cost and parts from the ledger itself."""
    return rows.order_by().aggregate(**{name: Sum(name) for name in ("cost", *PARTS)})
