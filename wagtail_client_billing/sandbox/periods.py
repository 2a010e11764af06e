"""The calendar of subscriptions: periods counted from their anchor, in UTC."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

MONTHS = {"month": 1, "year": 12}
DAYS = {"day": 1, "week": 7}


def boundary(anchor: int, interval: str, count: int, number: int) -> int:
    """Unix time at which the period of this number (0 is the first) begins.

    Months keep the day of the anchor; a shorter month has its last day instead.
    """
    start = datetime.fromtimestamp(anchor, tz=UTC)
    if interval in DAYS:
        return int((start + timedelta(days=DAYS[interval] * count * number)).timestamp())
    return int(add_months(start, MONTHS[interval] * count * number).timestamp())


def add_months(start: datetime, months: int) -> datetime:
    """The same day so many months later, or the last day of that month."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)
