"""Checkout Sessions: what the API accepts and answers.

A session never outlives its ``expires_at`` on the sandbox's clock.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from . import books, clock, events, ids, objects, params, session_params, shapes
from .keys import Caller
from .objects import Record
from .problems import ApiProblem

KIND = "checkout.session"
LIST: dict[str, params.Checker] = {
    **params.PAGING,
    "created": params.moment,
    "customer": params.string(),
    "payment_intent": params.string(),
    "subscription": params.string(),
    "status": params.choice("complete", "expired", "open"),
}


def create(
    db: sqlite3.Connection,
    caller: Caller,
    raw: Mapping[str, Any],
    page_url: str,
    invoice_url: str,
) -> dict[str, Any]:
    """A new session. The URLs are our pages, with ``{id}`` where the id goes."""
    now = int(time.time())
    checked = session_params.check(raw, now)
    amount = session_params.total(checked["mode"], checked["line_items"])
    id = ids.new(f"cs_{shapes.mode_name(caller.livemode)}_a1", 56).replace("a1_", "a1")
    doc = shapes.session(
        checked,
        livemode=caller.livemode,
        url=page_url.replace("{id}", id),
        id=id,
        created=now,
        amount=amount,
    )
    objects.add(
        db,
        caller,
        doc,
        state="open",
        ends_at=doc["expires_at"] + clock.offset(db),
        extra={
            "line_items": [
                shapes.line_item(item, livemode=caller.livemode, created=now)
                for item in checked["line_items"]
            ],
            "product_data": checked["line_items"][0]["price_data"]["product_data"],
            "payment_intent_data": checked.get("payment_intent_data", {}),
            "subscription_data": checked.get("subscription_data", {}),
            "invoice_url": invoice_url,
            "payment_intent": None,
        },
    )
    return doc


def retrieve(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    return objects.get(db, caller, KIND, id, "session").doc


def list_all(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    checked = params.check(raw, LIST)
    intent = checked.get("payment_intent")
    matches = objects.having(checked, "customer", "status", "subscription")

    def keep(record: Record) -> bool:
        # A declined payment has a PaymentIntent that the session does not show yet; that of a
        # subscription is its invoice's.
        known = record.extra["payment_intent"] if record.doc["mode"] == "payment" else None
        return intent in (None, known) and matches(record)

    return objects.page(db, caller, KIND, "/v1/checkout/sessions", checked, keep=keep)


def line_items(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    checked = params.check(raw, params.PAGING)
    record = objects.get(db, caller, KIND, id, "session")
    return line_items_of(record, checked.get("limit", 10))


def line_items_of(record: Record, limit: int = 10) -> dict[str, Any]:
    items = record.extra["line_items"]
    return {
        "object": "list",
        "data": items[:limit],
        "has_more": len(items) > limit,
        "url": f"/v1/checkout/sessions/{record.id}/line_items",
    }


def expire(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    """End an open session now; any other status is refused (and the idempotency key keeps it)."""
    params.check(raw, {})
    record = objects.get(db, caller, KIND, id, "session")
    if record.state != "open":
        raise ApiProblem(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout '
            f"Session has a status of `{record.state}`.",
            kept=True,
        )
    end(db, record)
    return record.doc


def end(db: sqlite3.Connection, record: Record) -> bool:
    """Open → expired, with its event; False if it was not open any more."""
    record.state = "expired"
    record.doc.update(status="expired", url=None)
    if not objects.save(db, record, only_from="open"):
        return False
    events.record(db, record, "checkout.session.expired", record.doc)
    return True


def end_due() -> int:
    """End every open session whose time has come; returns how many."""
    with books.read() as db:
        if not objects.ending(db, KIND, "open", clock.now(db)):
            return 0  # the usual case takes no write lock
    with books.write() as db:
        return sum(end(db, record) for record in objects.ending(db, KIND, "open", clock.now(db)))
