"""What the sandbox's clock brings to subscriptions: new periods, further tries, the end."""

from __future__ import annotations

import sqlite3

from . import books, clock, collecting, invoices, objects, periods, subscriptions
from .objects import Record

_DUE = (
    "SELECT id, kind FROM objects WHERE ends_at <= ? AND "
    "((kind = 'invoice' AND state = 'open') OR (kind = 'subscription' AND state = 'active') "
    "OR (kind = 'subscription' AND state = 'past_due')) ORDER BY ends_at, kind, seq LIMIT 1"
)


def run_due() -> int:
    """Make up for every moment that has come, in order; returns how many."""
    with books.read() as db:
        if _next(db, clock.now(db)) is None:
            return 0  # the usual case takes no write lock
    steps = 0
    with books.write() as db:
        until = clock.now(db)
        while (record := _next(db, until)) is not None:
            if record.kind == invoices.KIND:
                collecting.attempt(db, record, record.ends_at or until)
            else:
                _step(db, record, record.ends_at or until)
            steps += 1
    return steps


def _next(db: sqlite3.Connection, until: int) -> Record | None:
    row = db.execute(_DUE, (until,)).fetchone()
    return None if row is None else objects.find(db, row["kind"], row["id"])


def _step(db: sqlite3.Connection, subscription: Record, at: int) -> None:
    """The subscription ends, or its next period begins and is charged."""
    ending = subscription.doc["cancel_at"]
    if ending is not None and ending <= at:
        reason = subscription.doc["cancellation_details"]["reason"] or "cancellation_requested"
        subscriptions.end(db, subscription, at, reason)
        return
    since, start = subscriptions.period(subscription)
    extra = subscription.extra
    extra["cycle"] += 1
    end = periods.boundary(
        subscription.doc["billing_cycle_anchor"],
        extra["interval"],
        extra["interval_count"],
        extra["cycle"] + 1,
    )
    for item in subscription.doc["items"]["data"]:
        item.update(current_period_start=start, current_period_end=end)
    subscriptions.plan(subscription)
    invoice = invoices.make(db, subscription, reason="subscription_cycle", at=at, since=since)
    collecting.attempt(db, invoice, at)
