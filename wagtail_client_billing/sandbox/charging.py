"""Taking money for a PaymentIntent: what a try does to it, to its charge and to the events.

Each function works inside the transaction of what caused it. ``at`` is the moment of the try in
Unix seconds, where it is not now: a renewal that is made up for.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from . import events, ids, objects, payment_shapes
from .objects import Record


def succeed(
    db: sqlite3.Connection,
    intent: Record,
    method: dict[str, Any],
    *,
    email: str | None,
    at: int | None = None,
) -> Record:
    """The money came at once; returns the charge."""
    charge = _charge(db, intent, "succeeded", method, email, at)
    charge.doc["outcome"] = _outcome("approved_by_network", "authorized", "Payment complete.")
    objects.save(db, charge)
    _paid(intent)
    objects.save(db, intent)
    events.record(db, intent, "charge.succeeded", charge.doc)
    events.record(db, intent, "payment_intent.succeeded", intent.doc)
    return charge


def decline(
    db: sqlite3.Connection,
    intent: Record,
    method: dict[str, Any],
    *,
    email: str | None,
    at: int | None = None,
) -> str:
    """The card was declined; returns the event that tells of the PaymentIntent."""
    charge = _charge(db, intent, "failed", method, email, at)
    return _fail(db, intent, charge, "card_declined", "Your card was declined.", "generic_decline")


def put_off(
    db: sqlite3.Connection,
    intent: Record,
    method: dict[str, Any],
    *,
    email: str | None,
    at: int | None = None,
) -> Record:
    """A bank debit is on its way; returns the charge, which is pending until ``settle``."""
    charge = _charge(db, intent, "pending", method, email, at)
    intent.doc.update(status="processing", last_payment_error=None)
    objects.save(db, intent)
    events.record(db, intent, "charge.pending", charge.doc)
    events.record(db, intent, "payment_intent.processing", intent.doc)
    return charge


def settle(db: sqlite3.Connection, intent: Record, *, succeeded: bool) -> None:
    """Days later: the bank debit of a PaymentIntent succeeds or fails."""
    charge = objects.get(db, intent, "charge", intent.doc["latest_charge"])
    if not succeeded:
        _fail(db, intent, charge, "insufficient_funds", "The bank refused the debit.", "")
        return
    charge.doc.update(
        status="succeeded",
        paid=True,
        captured=True,
        amount_captured=charge.doc["amount"],
        balance_transaction=ids.new("txn"),
        outcome=_outcome("approved_by_network", "authorized", "Payment complete."),
    )
    objects.save(db, charge)
    _paid(intent)
    objects.save(db, intent)
    events.record(db, intent, "charge.succeeded", charge.doc)
    events.record(db, intent, "payment_intent.succeeded", intent.doc)


def ask(db: sqlite3.Connection, intent: Record, url: str) -> None:
    """The bank wants the payer to confirm with 3-D Secure, at ``url``: no charge is made."""
    intent.doc.update(
        status="requires_action",
        next_action={
            "type": "redirect_to_url",
            "redirect_to_url": {"url": url, "return_url": None},
        },
    )
    objects.save(db, intent)
    events.record(db, intent, "payment_intent.requires_action", intent.doc)


def _paid(intent: Record) -> None:
    intent.doc.update(
        status="succeeded",
        amount_received=intent.doc["amount"],
        last_payment_error=None,
        next_action=None,
    )


def _charge(
    db: sqlite3.Connection,
    intent: Record,
    status: str,
    method: dict[str, Any],
    email: str | None,
    at: int | None,
) -> Record:
    doc = payment_shapes.charge(intent.doc, status=status, email=email, method=method)
    doc["created"] = at or doc["created"]
    intent.doc.update(
        latest_charge=doc["id"],
        payment_method=doc["payment_method"],
        payment_method_types=[method["type"]],
    )
    return objects.add(db, intent, doc)


def _outcome(network: str, type: str, message: str) -> dict[str, Any]:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network,
        "reason": None,
        "seller_message": message,
        "type": type,
    }


def _fail(
    db: sqlite3.Connection,
    intent: Record,
    charge: Record,
    code: str,
    message: str,
    decline_code: str,
) -> str:
    charge.doc.update(status="failed", failure_code=code, failure_message=message, paid=False)
    charge.doc["outcome"] = {
        **_outcome("declined_by_network", "issuer_declined", message),
        "reason": decline_code or None,
    }
    error: dict[str, Any] = {
        "type": "card_error" if decline_code else "invalid_request_error",
        "code": code,
        "message": message,
        "charge": charge.id,
    }
    if decline_code:
        error["decline_code"] = decline_code
    intent.doc.update(
        status="requires_payment_method",
        last_payment_error=error,
        next_action=None,
        payment_method=None,
        processing=None,
    )
    objects.save(db, charge)
    objects.save(db, intent)
    events.record(db, intent, "charge.failed", charge.doc)
    return events.record(db, intent, "payment_intent.payment_failed", intent.doc)
