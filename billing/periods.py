"""Which period a moment belongs to: half-open, in UTC. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Period:
    start: datetime
    end: datetime  # the first moment of the next one


def month_of(moment: datetime) -> Period:
    """The calendar month that contains the moment."""
    at = moment.astimezone(UTC)
    start = datetime(at.year, at.month, 1, tzinfo=UTC)
    following = (at.year, at.month + 1) if at.month < 12 else (at.year + 1, 1)
    return Period(start, datetime(*following, 1, tzinfo=UTC))
