"""`manage.py check_ledger`: for operators, and for cron by its exit code."""

import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.dateparse import parse_date, parse_datetime

from billing.usage.checks import Report, check
from config.redis import clients as redis_clients


class Command(BaseCommand):
    help = (
        "Compare the ledger with counters, daily and monthly sums and balances, and by id with what was"
        " finished. May run while billing does. Exit code 1: something is missing, extra or different."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", type=int, help="the number of one account")
        parser.add_argument("--since", type=moment, help="2026-01-31, or with a time; UTC if it does not say")

    def handle(self, *args: object, user: int | None, since: datetime | None, **options: Any) -> None:
        with redis_clients.sync() as redis:
            report = check(redis, user_id=user, since=since)
        self._write(report)
        if report.findings:
            sys.exit(1)

    def _write(self, report: Report) -> None:
        for finding in report.findings:
            self.stdout.write(str(finding))
        for event_id in report.buried:
            self.stdout.write(f"buried: event {event_id}")
        self.stdout.write(
            f"{report.events} finished events compared; {len(report.findings)} findings,"
            f" {report.pending} pending, {len(report.buried)} buried."
        )


def moment(text: str) -> datetime:
    try:
        day = parse_date(text)
        found = datetime(day.year, day.month, day.day) if day else parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no date")
    return found if found.tzinfo else found.replace(tzinfo=UTC)
