"""What a completed Checkout Session in subscription mode makes, and its bank debit later."""

from __future__ import annotations

import sqlite3

from . import (
    charging,
    clock,
    collecting,
    invoices,
    objects,
    periods,
    subscription_shapes,
    subscriptions,
)
from .objects import Record


def start(
    db: sqlite3.Connection, session: Record, intent: Record, *, customer: str, paid: bool
) -> None:
    """The subscription with its first invoice, paid, or open while a bank debit is on its way.

    The session's document names both afterwards; the caller saves it.
    """
    now = clock.now(db)
    items = session.extra["line_items"]
    recurring = items[0]["price"]["recurring"]
    rhythm = (recurring["interval"], recurring["interval_count"])
    data = session.extra["subscription_data"]
    doc = subscription_shapes.subscription(
        items,
        livemode=session.livemode,
        customer=customer,
        payment_method=intent.doc["payment_method"],
        description=data.get("description"),
        metadata=data.get("metadata", {}),
        start=now,
        end=periods.boundary(now, *rhythm, 1),
    )
    subscription = objects.add(
        db,
        session,
        doc,
        state="active",
        extra={
            "card": "works" if paid else "debit",
            "cycle": 0,
            "interval": rhythm[0],
            "interval_count": rhythm[1],
            "invoice_url": session.extra["invoice_url"],
        },
    )
    subscriptions.plan(subscription)
    invoice = invoices.make(
        db, subscription, reason="subscription_create", at=now, since=now, intent=intent
    )
    invoice.doc.update(attempted=True, attempt_count=1)
    objects.save(db, invoice)
    if paid:
        collecting.collected(db, invoice, now)
    session.doc.update(subscription=subscription.id, invoice=invoice.id)


def settle(db: sqlite3.Connection, session: Record, intent: Record, *, succeeded: bool) -> None:
    """The bank debit of the first invoice succeeds or fails; then later tries fail as well."""
    charging.settle(db, intent, succeeded=succeeded)
    invoice = objects.get(db, session, invoices.KIND, session.doc["invoice"])
    now = clock.now(db)
    if succeeded:
        collecting.collected(db, invoice, now)
        return
    subscription = collecting.subscription_of(db, invoice)
    subscriptions.put_card(db, subscription, "declines")
    collecting.missed(db, invoice, now, "invoice.payment_failed")
