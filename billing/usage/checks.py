"""Consistency checks of the ledger. They change nothing.

By id: finished jobs in Redis against ledger entries; events still in the stream are pending, and dead
letters are listed. By sum: ledger entries against periods, `usage_day`, voice statistics and balances, in one
snapshot.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from django.db import connection, transaction
from redis import Redis

from billing.models import Balance, LedgerEntry, UsageDay, UsagePeriod, VoiceMonth
from billing.redis_keys import DEAD_USAGE_STREAM, USAGE_STREAM
from config.observability import metrics
from config.redis.keys import FINISHED

logger = logging.getLogger(__name__)

FINISHED_DAYS = 7  # it is trimmed after eight
PAGE = 5_000
RECENT = timedelta(minutes=5)

FINDINGS = metrics.gauge(
    "billing_ledger_findings", "Differences that the last check of recent accounts found"
)

Kind = Literal["missing", "extra", "different"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: `what` kind of row, and the key `of` the row."""

    kind: Kind
    what: str
    of: str
    details: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.what} {self.of}{': ' if self.details else ''}{self.details}"


@dataclass(slots=True)
class Report:
    """Result of a check; `events` is the number of finished events that were compared."""

    findings: list[Finding] = field(default_factory=list)
    pending: int = 0
    dead_letters: list[str] = field(default_factory=list)
    events: int = 0


def check(redis: Redis, *, user_id: int | None = None, since: datetime | None = None) -> Report:
    """Check all accounts or one, from the beginning or from `since` on. May run while billing does."""
    report = Report()
    _check_events(redis, report, user_id, since)
    accounts = None if user_id is None else [user_id]
    if user_id is None and since is not None:
        accounts = _accounts_since(since)
    check_sums(report, accounts, since)
    return report


def check_recent(redis: Redis) -> None:
    """Check accounts with recent usage; run by the scheduler, also while they are charged."""
    report = Report()
    since = datetime.now(UTC) - RECENT
    check_sums(report, _accounts_since(since), since)
    FINDINGS.set(len(report.findings))
    for finding in report.findings:
        logger.error("the ledger and its sums differ: %s", finding)


# --- By id ------------------------------------------------------------------------------------------------


def _check_events(redis: Redis, report: Report, user_id: int | None, since: datetime | None) -> None:
    seconds, _ = redis.time()
    now = datetime.fromtimestamp(int(seconds), UTC)
    start = (
        max(since or now, now - timedelta(days=FINISHED_DAYS))
        if since
        else now - timedelta(days=FINISHED_DAYS)
    )
    if user_id is None:
        _check_finished(redis, report, start)
    for page in _ledger_pages(start, now, user_id):
        scores: Any = redis.zmscore(FINISHED, list(page))
        for (event_id, at), score in zip(page.items(), scores, strict=True):
            if score is None:
                report.findings.append(
                    Finding("extra", "event", event_id, "charged, and not known as finished")
                )
            elif int(score) != _milliseconds(at):
                report.findings.append(Finding("different", "event", event_id, "charged at another time"))


def _check_finished(redis: Redis, report: Report, start: datetime) -> None:
    missing: list[str] = []
    for page in _finished_pages(redis, start):
        report.events += len(page)
        recorded = _recorded(page)
        missing += [event_id for event_id in page if event_id not in recorded]
    for first in range(0, len(missing), PAGE):
        _explain(redis, report, missing[first : first + PAGE])


def _explain(redis: Redis, report: Report, missing: Collection[str]) -> None:
    """Report why these events are not in the ledger.

    An event moves from the stream to the ledger or to the dead letters, so the ledger is read again last.
    """
    pending = _ids_in(redis, USAGE_STREAM, missing)
    dead = _ids_in(redis, DEAD_USAGE_STREAM, missing)
    rest = set(missing) - pending - dead
    report.pending += len(pending)
    report.dead_letters += sorted(dead)
    lost = rest - _recorded(rest) - _ids_in(redis, USAGE_STREAM, rest)  # replayed meanwhile
    report.findings += [
        Finding("missing", "event", event_id, "finished, and not charged") for event_id in sorted(lost)
    ]


def _ids_in(redis: Redis, stream: str, event_ids: Collection[str]) -> set[str]:
    """Those of these event ids that the stream holds."""
    if not event_ids:
        return set()
    found, after, chosen = set(), "-", set(event_ids)
    while entries := _page(redis, stream, after):
        found |= {fields.get(b"id", b"").decode(errors="replace") for _, fields in entries} & chosen
        after = f"({entries[-1][0].decode()}"
    return found


def _page(redis: Redis, stream: str, after: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    page: Any = redis.xrange(stream, min=after, count=PAGE)
    return list(page)


def _finished_pages(redis: Redis, start: datetime) -> Iterator[list[str]]:
    """Pages of finished ids, by score: offsets would skip some if old ids are trimmed meanwhile."""
    least, seen = str(_milliseconds(start)), set[bytes]()
    while True:
        page: Any = redis.zrangebyscore(FINISHED, least, "+inf", start=0, num=PAGE, withscores=True)
        fresh = [member for member, _ in page if member not in seen]
        if not fresh:
            return
        yield [member.decode() for member in fresh]
        last = page[-1][1]
        seen = {member for member, score in page if score == last}
        least = str(int(last))


def _ledger_pages(start: datetime, end: datetime, user_id: int | None) -> Iterator[dict[str, datetime]]:
    rows = LedgerEntry.objects.filter(kind="usage", occurred_at__gte=start, occurred_at__lt=end)
    if user_id is not None:
        rows = rows.filter(user_id=user_id)
    events = rows.order_by().values_list("event_id", "occurred_at").iterator(PAGE)
    page: dict[str, datetime] = {}
    for event_id, at in events:
        page[event_id] = at
        if len(page) == PAGE:
            yield page
            page = {}
    if page:
        yield page


def _recorded(event_ids: Collection[str]) -> set[str]:
    rows = LedgerEntry.objects.filter(event_id__in=list(event_ids))
    return set(rows.values_list("event_id", flat=True))


def _milliseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


# --- By sum -----------------------------------------------------------------------------------------------

LEDGER = LedgerEntry._meta.db_table
PERIODS = f"""
SELECT p.user_id || ' ' || p.usage_type || ' from ' || (p.start AT TIME ZONE 'UTC')::date,
    ARRAY[p.used, p.total],
    ARRAY[coalesce(sum(l.from_subscription), 0), coalesce(sum(l.cost), 0)]::bigint[]
FROM {UsagePeriod._meta.db_table} p
LEFT JOIN {LEDGER} l ON l.user_id = p.user_id AND l.usage_type = p.usage_type AND l.kind = 'usage'
    AND l.occurred_at >= p.start AND l.occurred_at < p."end"
WHERE (%(users)s::bigint[] IS NULL OR p.user_id = ANY(%(users)s)) AND p."end" > %(since)s
GROUP BY p.id HAVING p.used <> coalesce(sum(l.from_subscription), 0) OR p.total <> coalesce(sum(l.cost), 0)
"""  # noqa: S608  # table names are constants, here and below
EVENTS_WITHOUT_PERIOD = f"""
SELECT l.event_id, NULL, NULL FROM {LEDGER} l
WHERE (%(users)s::bigint[] IS NULL OR l.user_id = ANY(%(users)s)) AND l.occurred_at >= %(since)s
    AND l.kind = 'usage' AND NOT EXISTS (SELECT FROM {UsagePeriod._meta.db_table} p
        WHERE p.user_id = l.user_id AND p.usage_type = l.usage_type
            AND p.start <= l.occurred_at AND p."end" > l.occurred_at)
"""  # noqa: S608
COMPARE_SUMS = """
SELECT concat_ws(' ', {key}), s.sums, l.sums FROM
    (SELECT {key}, ARRAY[events, characters, cost, duration_ms]::bigint[] AS sums FROM {table}
     WHERE (%(users)s::bigint[] IS NULL OR user_id = ANY(%(users)s)) AND {day} >= {first}) s
FULL JOIN
    (SELECT {of_ledger}, ARRAY[count(*), sum(characters), sum(cost), sum(duration_ms)]::bigint[] AS sums
     FROM {ledger} WHERE (%(users)s::bigint[] IS NULL OR user_id = ANY(%(users)s)) AND kind = 'usage'
        AND occurred_at >= {first}::timestamp AT TIME ZONE 'UTC'
     GROUP BY {columns}) l
USING ({key}) WHERE s.sums IS DISTINCT FROM l.sums
"""
DAYS = COMPARE_SUMS.format(
    key="user_id, day, usage_type, model, voice",
    table=UsageDay._meta.db_table,
    day="day",
    first="(%(since)s AT TIME ZONE 'UTC')::date",
    of_ledger="user_id, (occurred_at AT TIME ZONE 'UTC')::date AS day, usage_type, model, voice",
    ledger=LEDGER,
    columns="1, 2, 3, 4, 5",
)
MONTHS = COMPARE_SUMS.format(
    key="user_id, month, model, voice",
    table=VoiceMonth._meta.db_table,
    day="month",
    first="date_trunc('month', %(since)s AT TIME ZONE 'UTC')::date",
    of_ledger="user_id, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date AS month, model, voice",
    ledger=LEDGER,
    columns="1, 2, 3, 4",
)
BALANCES = f"""
SELECT concat_ws(' ', b.user_id, b.usage_type), ARRAY[b.rollover, b.purchased],
    ARRAY[coalesce(l.rollover, 0), coalesce(l.purchased, 0)]
FROM {Balance._meta.db_table} b LEFT JOIN (
    SELECT user_id, usage_type, -sum(from_rollover + to_debt)::bigint AS rollover,
        -sum(from_purchased)::bigint AS purchased
    FROM {LEDGER} WHERE %(users)s::bigint[] IS NULL OR user_id = ANY(%(users)s)
    GROUP BY user_id, usage_type
) l USING (user_id, usage_type)
WHERE (%(users)s::bigint[] IS NULL OR b.user_id = ANY(%(users)s))
    AND (b.rollover, b.purchased) IS DISTINCT FROM (coalesce(l.rollover, 0), coalesce(l.purchased, 0))
"""  # noqa: S608
SUMS = {
    "period": PERIODS,
    "period of event": EVENTS_WITHOUT_PERIOD,
    "day": DAYS,
    "voice statistics": MONTHS,
    "balance": BALANCES,
}
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@transaction.atomic
def check_sums(report: Report, accounts: Sequence[int] | None, since: datetime | None) -> None:
    """Add differences of sums to the report, of these accounts (None: all), by queries of one snapshot."""
    if accounts is not None and not accounts:
        return
    values: dict[str, Any] = {"users": accounts, "since": since or BEGINNING}
    with connection.cursor() as cursor:
        if not _is_nested():
            # One snapshot: a batch committed between two queries would look like a difference.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        for what, query in SUMS.items():
            cursor.execute(query, values)
            report.findings += [_finding(what, *row) for row in cursor.fetchall()]


def _is_nested() -> bool:
    return len(connection.savepoint_ids) > 0


def _finding(what: str, of: str, counted: Sequence[int] | None, summed: Sequence[int] | None) -> Finding:
    if counted is None:
        return Finding("missing", what, of, f"the ledger has {summed}" if summed else "")
    if summed is None:
        return Finding("extra", what, of, f"{counted}, and the ledger has none")
    return Finding("different", what, of, f"{counted}, and the ledger has {summed}")


def _accounts_since(since: datetime) -> list[int]:
    rows = LedgerEntry.objects.filter(occurred_at__gte=since).order_by()
    return sorted(set(rows.values_list("user_id", flat=True).distinct()))
