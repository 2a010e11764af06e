"""Collecting an invoice: charging the subscription's card, and what follows when that fails.

The card is what a page or a test chose: it *works*, it *declines*, it *asks* for 3-D Secure, or it
is a bank *debit*, which the bank decides about some days later. A failed invoice is tried again on
the third, fifth and seventh day after its first try; then the subscription ends.
"""

from __future__ import annotations

import sqlite3

from . import charging, events, invoices, objects, payment_shapes, subscriptions
from .objects import Record

DAY = 24 * 3600
RETRY_DAYS = (3, 5, 7)  # after the first try
DEBIT_DAYS = 4


def attempt(
    db: sqlite3.Connection, invoice: Record, at: int, *, card: str = "", scheduled: bool = True
) -> None:
    """Try to take the money of an open invoice now, from the subscription's card or another.

    A try that the payer causes is not *scheduled*: it does not count, and moves no later one.
    """
    subscription = subscription_of(db, invoice)
    intent = invoices.intent_of(db, invoice)
    email = invoice.doc["customer_email"]
    card = card or subscription.extra["card"]
    if intent.doc["status"] == "processing":
        settle(db, invoice, at, succeeded=card != "declines")
        return
    if scheduled:
        invoice.doc["attempt_count"] += 1
    if card == "asks":
        charging.ask(db, intent, invoice.doc["hosted_invoice_url"])
        missed(db, invoice, at, "invoice.payment_action_required", scheduled=scheduled)
    elif card == "declines":
        method = payment_shapes.card_details(payment_shapes.DECLINED_CARD)
        charging.decline(db, intent, method, email=email, at=at)
        missed(db, invoice, at, "invoice.payment_failed", scheduled=scheduled)
    elif card == "debit":
        charging.put_off(db, intent, payment_shapes.debit_details(), email=email, at=at)
        invoice.ends_at = at + DEBIT_DAYS * DAY
        invoice.doc.update(attempted=True, next_payment_attempt=None)
        objects.save(db, invoice)
    else:
        method = payment_shapes.card_details(payment_shapes.CARD)
        charging.succeed(db, intent, method, email=email, at=at)
        collected(db, invoice, at)


def settle(db: sqlite3.Connection, invoice: Record, at: int, *, succeeded: bool) -> None:
    """The bank debit of an invoice succeeds or fails, also after its subscription has ended."""
    charging.settle(db, invoices.intent_of(db, invoice), succeeded=succeeded)
    if succeeded:
        collected(db, invoice, at)
    else:
        missed(db, invoice, at, "invoice.payment_failed")


def collected(db: sqlite3.Connection, invoice: Record, at: int) -> None:
    """The money of an invoice is there: a subscription that was behind is active again."""
    invoices.mark_paid(db, invoice, at)
    subscription = subscription_of(db, invoice)
    if subscription.state == "past_due" and subscription.doc["latest_invoice"] == invoice.id:
        _become(db, subscription, "active")


def missed(
    db: sqlite3.Connection, invoice: Record, at: int, event: str, *, scheduled: bool = True
) -> None:
    """The money did not come: plan the next try, or give the subscription up."""
    subscription = subscription_of(db, invoice)
    alive = subscription.state in subscriptions.ALIVE
    last = False
    if scheduled:
        tries = invoice.extra["tries"]
        invoice.extra["tries"] = tries + 1
        first = invoice.extra.setdefault("first_try", at)
        last = tries >= len(RETRY_DAYS)
        invoice.ends_at = first + RETRY_DAYS[tries] * DAY if alive and not last else None
    invoice.doc.update(attempted=True, next_payment_attempt=invoice.ends_at)
    objects.save(db, invoice)
    events.record(db, invoice, event, invoice.doc)
    if alive and last:
        subscriptions.end(db, subscription, at, "payment_failed")
    elif subscription.state == "active" and subscription.doc["latest_invoice"] == invoice.id:
        _become(db, subscription, "past_due")


def subscription_of(db: sqlite3.Connection, invoice: Record) -> Record:
    return objects.get(db, invoice, subscriptions.KIND, invoice.extra["subscription"])


def _become(db: sqlite3.Connection, subscription: Record, status: str) -> None:
    subscription.state = status
    subscription.doc["status"] = status
    objects.save(db, subscription)
    events.record(db, subscription, "customer.subscription.updated", subscription.doc)
