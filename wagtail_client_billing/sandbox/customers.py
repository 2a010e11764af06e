"""Customers: who pays a subscription, or asked to be remembered."""

from __future__ import annotations

import sqlite3

from . import events, objects, subscription_shapes
from .objects import Record

KIND = "customer"


def create(db: sqlite3.Connection, session: Record, *, email: str | None, created: int) -> Record:
    """The customer of a session that is being paid."""
    doc = subscription_shapes.customer(
        livemode=session.livemode,
        email=email,
        name=(session.doc["customer_details"] or {}).get("name"),
        currency=session.doc["currency"],
        created=created,
    )
    record = objects.add(db, session, doc)
    events.record(db, record, "customer.created", doc)
    return record


def next_number(db: sqlite3.Connection, customer: Record) -> int:
    """The number of the customer's next invoice, taken."""
    number = int(customer.doc["next_invoice_sequence"])
    customer.doc["next_invoice_sequence"] = number + 1
    objects.save(db, customer)
    return number
