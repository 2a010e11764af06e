"""The sandbox's clock: real time plus an offset kept in the books.

It ends sessions, and nothing else: the bounds of a new session's ``expires_at`` and the time in
webhook signatures are always real. An advance ages the sessions that exist; one that is created
afterwards starts with its full life.
"""

from __future__ import annotations

import sqlite3
import time

from . import books


def offset(db: sqlite3.Connection) -> int:
    """Seconds by which the sandbox is ahead of real time."""
    return int(books.noted(db, "clock_offset", 0))


def now(db: sqlite3.Connection | None = None) -> int:
    """Sandbox time, in Unix seconds."""
    if db is None:
        with books.read() as db:
            return int(time.time()) + offset(db)
    return int(time.time()) + offset(db)


def advance(*, minutes: float = 0, hours: float = 0) -> int:
    """Move the clock forward, end the sessions whose time has come; returns the new offset."""
    from . import deliveries, sessions  # they read this clock

    seconds = round(minutes * 60 + hours * 3600)
    if seconds < 0:
        raise ValueError("The sandbox's clock does not go back.")
    with books.write() as db:
        total = offset(db) + seconds
        books.note(db, "clock_offset", total)
    sessions.end_due()
    deliveries.wake()
    return total
