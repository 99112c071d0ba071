"""Billing periods: half-open calendar months in UTC. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to, and not including, `end`."""

    start: datetime
    end: datetime  # the start of the next period


def month_of(moment: datetime) -> Period:
    """The calendar month that contains the moment."""
    at = moment.astimezone(UTC)
    start = datetime(at.year, at.month, 1, tzinfo=UTC)
    following = (at.year, at.month + 1) if at.month < 12 else (at.year + 1, 1)
    return Period(start, datetime(*following, 1, tzinfo=UTC))


def month_named(name: str) -> Period | None:
    """The month of a name such as `2026-01`, or None if there is no such month."""
    match = re.fullmatch(r"([1-9][0-9]{3})-(0[1-9]|1[0-2])", name)
    if match is None or match[1] == "9999":
        return None
    return month_of(datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC))
