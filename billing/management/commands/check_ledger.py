"""`manage.py check_ledger`: consistency check of the ledger, with an exit code for cron."""

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
        "Compare the ledger with counters, daily and monthly sums, balances, and by id with finished jobs."
        " May run while billing does. Exit code 1: something is missing, extra or different."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", type=int, help="the number of one account")
        parser.add_argument(
            "--since",
            type=moment,
            help="a date such as 2026-01-31, or date and time; UTC unless it names a zone",
        )

    def handle(self, *args: object, user: int | None, since: datetime | None, **options: Any) -> None:
        with redis_clients.sync() as redis:
            report = check(redis, user_id=user, since=since)
        self._write(report)
        if report.findings:
            sys.exit(1)

    def _write(self, report: Report) -> None:
        for finding in report.findings:
            self.stdout.write(str(finding))
        for event_id in report.dead_letters:
            self.stdout.write(f"dead letter: event {event_id}")
        self.stdout.write(
            f"{report.events} finished events compared; {len(report.findings)} findings,"
            f" {report.pending} pending, {len(report.dead_letters)} dead letters."
        )


def moment(text: str) -> datetime:
    """A date or a date and time, in UTC unless it names a zone."""
    try:
        day = parse_date(text)
        parsed = datetime(day.year, day.month, day.day) if day else parse_datetime(text)
    except ValueError:
        parsed = None
    if parsed is None:
        raise ArgumentTypeError(f"{text!r} is not a date")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
