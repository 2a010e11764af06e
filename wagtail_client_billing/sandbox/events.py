"""Events: recording them, and putting them up for delivery."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from . import faults, objects, shapes
from .objects import Record, Scope


def record(db: sqlite3.Connection, scope: Scope, type: str, snapshot: Mapping[str, Any]) -> str:
    """Write an event and its deliveries, in the transaction of what happened; returns its id."""
    doc = shapes.event(type, snapshot, livemode=scope.livemode)
    event = objects.add(db, scope, doc)
    put_up(db, event)
    return event.id


def put_up(db: sqlite3.Connection, event: Record) -> int:
    """Put an event up for delivery to every endpoint that wants it now; returns how many.

    Doing it again ("fire again") makes further deliveries of the same event.
    """
    now = time.time()
    count = 0
    for row in _listening(db, event):
        endpoint = json.loads(row["doc"])
        wanted = endpoint["enabled_events"]
        if endpoint["status"] != "enabled" or not ({"*", event.doc["type"]} & set(wanted)):
            continue
        lost = faults.swallows(db, event.doc["type"])
        db.execute(
            "INSERT INTO deliveries (event, type, endpoint, url, state, created, next_try_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                event.id,
                event.doc["type"],
                row["id"],
                endpoint["url"],
                "swallowed" if lost else "due",
                now,
                now,
            ),
        )
        count += 1
    return count


def _listening(db: sqlite3.Connection, event: Record) -> list[sqlite3.Row]:
    """The account's own endpoints, and those of the platforms that it is connected to.

    A platform's live endpoint hears of test events too, if the account is connected in live mode.
    """
    return db.execute(
        "SELECT id, doc FROM objects AS endpoint WHERE kind = 'webhook_endpoint' AND ("
        "  account = :account AND livemode = :livemode"
        "    AND NOT coalesce(json_extract(extra, '$.connect'), 0)"
        "  OR (livemode = :livemode OR livemode = 1) AND json_extract(extra, '$.connect')"
        "    AND EXISTS (SELECT 1 FROM connected WHERE platform = endpoint.account"
        "      AND account = :account AND livemode = endpoint.livemode AND ended_at IS NULL)"
        ") ORDER BY seq",
        {"account": event.account, "livemode": event.livemode},
    ).fetchall()


def pending_webhooks(db: sqlite3.Connection, event_id: str) -> int:
    """How many endpoints have not answered 2xx yet, as far as Stripe would know."""
    row = db.execute(
        "SELECT COUNT(DISTINCT endpoint) FROM deliveries WHERE event = :event AND endpoint NOT IN "
        "(SELECT endpoint FROM deliveries WHERE event = :event AND state = 'delivered')",
        {"event": event_id},
    ).fetchone()
    return int(row[0])


def as_sent(db: sqlite3.Connection, event: Record) -> dict[str, Any]:
    """The event as the API and the webhook show it now."""
    return {**event.doc, "pending_webhooks": pending_webhooks(db, event.id)}
