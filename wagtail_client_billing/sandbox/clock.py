"""The sandbox's clock: real time plus an offset kept in the books.

It ends sessions and moves subscriptions, and nothing else: the bounds of a new session's
``expires_at``, the creation of events and the time in webhook signatures are always real. An
advance ages the sessions that exist; one that is created afterwards starts with its full life.
"""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime

from . import books
from .periods import add_months


def offset(db: sqlite3.Connection) -> int:
    """Seconds by which the sandbox is ahead of real time."""
    return int(books.noted(db, "clock_offset", 0))


def now(db: sqlite3.Connection | None = None) -> int:
    """Sandbox time, in Unix seconds."""
    if db is None:
        with books.read() as db:
            return int(time.time()) + offset(db)
    return int(time.time()) + offset(db)


def advance(*, minutes: float = 0, hours: float = 0, days: float = 0) -> int:
    """Move the clock forward and let happen what that brings; returns the new offset (seconds)."""
    from . import deliveries, due  # they read this clock

    seconds = round(minutes * 60 + hours * 3600 + days * 24 * 3600)
    if seconds < 0:
        raise ValueError("The sandbox's clock does not go back.")
    with books.write() as db:
        total = offset(db) + seconds
        books.note(db, "clock_offset", total)
    due.apply()
    deliveries.wake()
    return total


def advance_to(moment: int) -> int:
    """Move the clock to a moment in sandbox time, if it is still to come; as ``advance``."""
    return advance(minutes=max(0, moment - now()) / 60)


def advance_months(months: int = 1) -> int:
    """Move the clock to the same day of a later month; returns the new offset (seconds)."""
    today = datetime.fromtimestamp(now(), tz=UTC)
    return advance(minutes=(add_months(today, months) - today).total_seconds() / 60)
