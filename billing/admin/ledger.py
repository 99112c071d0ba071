"""The ledger: every use, gift, correction and rollover, with what they add up to, and as CSV."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path

from billing.admin.filters import (
    AccountFilter,
    ModelFilter,
    MonthFilter,
    VoiceFilter,
    accounts_named,
)
from billing.models import PARTS, LedgerEntry, UsageDay
from billing.periods import month_named
from billing.reports.ledger_csv import COLUMNS, ledger_csv
from config.admin import BoundedPaginator, LargeTableAdmin, ReadOnlyAdmin


@admin.register(LedgerEntry)
class LedgerEntryAdmin(LargeTableAdmin, ReadOnlyAdmin):
    """For looking, not for mending: a wrong charge is put right by a new entry."""

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
    ]
    list_filter = [MonthFilter, AccountFilter, VoiceFilter, ModelFilter, "usage_type", "kind"]
    ordering = ["-occurred_at", "-id"]
    search_fields = ["event_id"]
    search_help_text = "An event id, an account's number or its username, in full."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LedgerEntry], search_term: str
    ) -> tuple[QuerySet[LedgerEntry], bool]:
        """Exact matches that an index answers; the stock search reads every row."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(Q(event_id=term) | Q(user_id__in=accounts_named(term))), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        answer = super().changelist_view(request, extra_context)
        changes = getattr(answer, "context_data", {})
        if shown := changes.get("cl"):
            changes["totals"] = _totals(request)
            changes["exact"] = _exact(shown.queryset) if _is_narrow(request) else None
            changes["export_query"] = request.GET.urlencode()
        return answer

    def get_urls(self) -> list[URLPattern]:
        export = path("export/", self.admin_site.admin_view(self.export), name="billing_ledgerentry_export")
        return [export, *super().get_urls()]

    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """What the filters let through, as CSV, however much that is: a page of rows is read at a time."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).queryset
        return StreamingHttpResponse(
            ledger_csv(rows, ("user_id", *COLUMNS, "operator")),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="ledger.csv"', "Cache-Control": "no-store"},
        )


def _totals(request: HttpRequest) -> dict[str, int | None]:
    """Of usage, from the daily sums: milliseconds, also where the ledger would take a minute."""
    rows = UsageDay.objects.order_by()
    given = request.GET
    for column in ("usage_type", "voice", "model"):
        value = given.get(f"{column}__exact") or given.get(column)
        rows = rows.filter(**{column: value}) if value else rows
    if account := given.get("account"):
        rows = rows.filter(user_id__in=accounts_named(account))
    if month := month_named(given.get("month", "")):
        rows = rows.filter(day__gte=month.start.date(), day__lt=month.end.date())
    return rows.aggregate(events=Sum("events"), characters=Sum("characters"), cost=Sum("cost"))


def _is_narrow(request: HttpRequest) -> bool:
    """Whether the ledger itself may be added up: it is of an account, or of one month."""
    return bool(request.GET.get("account")) or month_named(request.GET.get("month", "")) is not None


def _exact(rows: QuerySet[LedgerEntry]) -> dict[str, int | None]:
    return rows.order_by().aggregate(**{name: Sum(name) for name in ("cost", *PARTS)})
