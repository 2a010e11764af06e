"""Invoices of subscriptions, and by which PaymentIntent each is paid."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from . import customers, events, invoice_shapes, objects, params, payment_shapes
from .keys import Caller
from .objects import Record

KIND, PAYMENT = "invoice", "invoice_payment"

LIST: dict[str, params.Checker] = {
    **params.PAGING,
    "created": params.moment,
    "customer": params.string(),
    "subscription": params.string(),
    "status": params.choice("draft", "open", "paid", "uncollectible", "void"),
}
LIST_PAYMENTS: dict[str, params.Checker] = {
    **params.PAGING,
    "created": params.moment,
    "invoice": params.string(),
    "status": params.choice("canceled", "open", "paid"),
    "payment": params.hash_of(
        {"type": params.choice("payment_intent"), "payment_intent": params.string()}, ["type"]
    ),
}


def retrieve(
    db: sqlite3.Connection, caller: Caller, id: str, raw: Mapping[str, Any]
) -> dict[str, Any]:
    params.check(raw, {})
    return objects.get(db, caller, KIND, id, "invoice").doc


def list_all(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    checked = params.check(raw, LIST)
    subscription = checked.get("subscription")
    matches = objects.having(checked, "customer", "status")
    return objects.page(
        db,
        caller,
        KIND,
        "/v1/invoices",
        checked,
        keep=lambda record: (
            subscription in (None, record.extra["subscription"]) and matches(record)
        ),
    )


def list_payments(db: sqlite3.Connection, caller: Caller, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Leads from a PaymentIntent to its invoice, and back."""
    checked = params.check(raw, LIST_PAYMENTS)
    intent = checked.get("payment", {}).get("payment_intent")
    matches = objects.having(checked, "invoice", "status")
    return objects.page(
        db,
        caller,
        PAYMENT,
        "/v1/invoice_payments",
        checked,
        keep=lambda record: (
            intent in (None, record.doc["payment"]["payment_intent"]) and matches(record)
        ),
    )


def payments_of(db: sqlite3.Connection, invoice: Record) -> dict[str, Any]:
    """The list that the API shows in an invoice when it is asked to expand ``payments``."""
    found = objects.linked(db, PAYMENT, "invoice", invoice.id)
    return {
        "object": "list",
        "data": [record.doc for record in found],
        "has_more": False,
        "url": "/v1/invoice_payments",
    }


# --------------------------------------------------------------------------- making and paying


def make(
    db: sqlite3.Connection,
    subscription: Record,
    *,
    reason: str,
    at: int,
    since: int,
    intent: Record | None = None,
) -> Record:
    """The invoice over the subscription's current period, open, with its PaymentIntent.

    Tells of the subscription too, whose ``latest_invoice`` it is from now on.
    """
    customer = objects.get(db, subscription, customers.KIND, subscription.doc["customer"])
    account = db.execute("SELECT * FROM accounts WHERE id = ?", (subscription.account,)).fetchone()
    doc = invoice_shapes.invoice(
        subscription.doc,
        customer.doc,
        account=account,
        number=customers.next_number(db, customer),
        reason=reason,
        page_url=subscription.extra["invoice_url"],
        created=at,
        since=since,
    )
    if intent is None:
        intent = _intent(db, subscription, doc)
    invoice = objects.add(
        db,
        subscription,
        doc,
        state="open",
        extra={"subscription": subscription.id, "payment_intent": intent.id, "tries": 0},
    )
    objects.add(
        db,
        subscription,
        invoice_shapes.invoice_payment(doc, intent.id),
        extra={"invoice": invoice.id},
    )
    subscription.doc["latest_invoice"] = invoice.id
    objects.save(db, subscription)
    created = reason == "subscription_create"
    name = "customer.subscription.created" if created else "customer.subscription.updated"
    events.record(db, subscription, name, subscription.doc)
    events.record(db, invoice, "invoice.created", invoice.doc)
    events.record(db, invoice, "invoice.finalized", invoice.doc)
    return invoice


def _intent(db: sqlite3.Connection, subscription: Record, invoice: dict[str, Any]) -> Record:
    doc = payment_shapes.payment_intent(
        livemode=subscription.livemode,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        description="Subscription update",
        metadata={},
    )
    doc["customer"] = invoice["customer"]
    doc["created"] = invoice["created"]
    return objects.add(db, subscription, doc)


def intent_of(db: sqlite3.Connection, invoice: Record) -> Record:
    """The PaymentIntent of an invoice."""
    return objects.get(db, invoice, "payment_intent", invoice.extra["payment_intent"])


def open_of(db: sqlite3.Connection, subscription: Record) -> list[Record]:
    """The open invoices of a subscription, oldest first."""
    found = objects.linked(db, KIND, "subscription", subscription.id)
    return [invoice for invoice in found if invoice.state == "open"]


def mark_paid(db: sqlite3.Connection, invoice: Record, at: int) -> None:
    """Open → paid, with its invoice payment and the events."""
    invoice.state = "paid"
    invoice.ends_at = None
    invoice.doc.update(
        status="paid",
        attempted=True,
        amount_paid=invoice.doc["amount_due"],
        amount_remaining=0,
        auto_advance=False,
        next_payment_attempt=None,
    )
    invoice.doc["status_transitions"]["paid_at"] = at
    objects.save(db, invoice)
    for payment in objects.linked(db, PAYMENT, "invoice", invoice.id):
        payment.doc.update(status="paid", amount_paid=invoice.doc["amount_due"])
        payment.doc["status_transitions"]["paid_at"] = at
        objects.save(db, payment)
        events.record(db, payment, "invoice_payment.paid", payment.doc)
    events.record(db, invoice, "invoice.paid", invoice.doc)
    events.record(db, invoice, "invoice.payment_succeeded", invoice.doc)
