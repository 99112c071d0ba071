"""Time to render the admin's list of a large ledger, for each filter."""

import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.registry import Figure, Size, benchmark
from benchmarks.servers import launched_stack

TARGET_MS = 300
TIMES = 7
ACCOUNTS = 10_000
DAYS = 365
LEDGER, DAY = "billing_ledgerentry", "usage_day"

# Fifty blocks in one sitting, by one account in one voice.
FILL = f"""
INSERT INTO {LEDGER} (event_id, kind, user_id, characters, multiplier_bp, cost,
    from_subscription, from_rollover, from_purchased, to_debt,
    usage_type, model, voice, document, duration_ms, hash, reason, operator, occurred_at)
SELECT md5(n::text), 'usage', 1 + n / 50 %% {ACCOUNTS}, 200, 10000, 200,
    200, 0, 0, 0,
    CASE WHEN n / 50 %% 20 = 0 THEN 'premium' ELSE 'standard' END,
    CASE WHEN n / 50 %% 50 = 0 THEN 'tone' ELSE 'hibari' END,
    CASE WHEN n / 50 %% 1000 = 0 THEN 'rare' ELSE 'voice-' || n / 50 %% 20 END,
    NULL, 5400, repeat('ab', 32), '', '', now() - {DAYS} * interval '1 day' * (1 - n::float8 / %(rows)s)
FROM generate_series(1, %(rows)s) AS n
"""
SUM_UP = f"""
INSERT INTO {DAY} (user_id, day, usage_type, model, voice, events, characters, cost, duration_ms)
SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date, usage_type, model, voice,
    count(*), sum(characters), sum(cost), sum(duration_ms)
FROM {LEDGER} GROUP BY 1, 2, 3, 4, 5
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname <> %s"


@benchmark("billing_admin")
def billing_admin(size: Size) -> Iterator[Figure]:
    """Baseline: Django's default page of the same rows, which counts all of them."""
    rows = size.pick(1_000_000, 10_000_000)
    with launched_stack():
        fill(rows)
        from django.utils import timezone

        month = f"{timezone.now():%Y-%m}"
        ours, stock = pages()
        slow = taken(stock, {}, times=2)
        for name, query in (
            ("first", {}),
            ("account", {"account": "77"}),
            ("voice", {"voice": "voice-7"}),
            ("rare_voice", {"voice": "rare"}),
            ("model", {"model": "tone"}),
            ("type", {"usage_type__exact": "premium"}),
            ("month", {"month": month}),
            ("month_and_voice", {"month": month, "voice": "voice-7"}),
        ):
            yield Figure(f"billing_admin.{name}", taken(ours, query), "ms", "lower", TARGET_MS, slow)


def fill(rows: int) -> None:
    """Fill the tables; indexes are created last, which takes a third of the time."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET maintenance_work_mem = '256MB'")
        cursor.execute(INDEXES, [LEDGER, f"{LEDGER}_pkey"])
        indexes = cursor.fetchall()
        cursor.execute(f"ALTER TABLE {LEDGER} DROP CONSTRAINT IF EXISTS ledger_event_once")
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX IF EXISTS "{name}"')
        cursor.execute(FILL, {"rows": rows})
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute(SUM_UP)
        cursor.execute(f"VACUUM ANALYZE {LEDGER}, {DAY}")  # like autovacuum, which would come later
        cursor.execute("RESET statement_timeout")


def pages() -> tuple[Any, Any]:
    """The page of the ledger, and Django's default page of the same columns."""
    from django.contrib import admin

    from billing.admin.ledger import LedgerEntryAdmin
    from billing.models import LedgerEntry

    class Stock(admin.ModelAdmin):  # type: ignore[type-arg]
        list_display = LedgerEntryAdmin.list_display
        list_filter = ("voice", "model", "usage_type", "kind")

    return LedgerEntryAdmin(LedgerEntry, admin.site), Stock(LedgerEntry, admin.site)


def taken(page: Any, query: dict[str, str], times: int = TIMES) -> float:
    """Median milliseconds to render the page."""
    from django.contrib.auth import get_user_model
    from django.test import RequestFactory

    operator = get_user_model().objects.get(username="admin")
    seconds = []
    for _ in range(times):
        request = RequestFactory().get("/admin/billing/ledgerentry/", query)
        request.user = operator
        begun = time.perf_counter()
        page.changelist_view(request).render()
        seconds.append(time.perf_counter() - begun)
    return median(seconds) * 1000
